// A reporter of node:test: writes what ran, beside what the reporter for people prints.
const Run = globalThis[Symbol.for("@REPORTS@")];

export default async function* report(source) {
  const run = Run ? new Run('node-test') : null;
  let ended = false;
  const end = () => {
    if (run && !ended) run.end();
    ended = true;
  };
  // A single file may end its own process when its tests are done.
  if (!process.execArgv.includes('--test')) process.once('exit', end);
  const names = [];
  for await (const { type, data } of source) {
    if (type === 'test:start') names[data.nesting] = data.name;
    if (!run || (type !== 'test:pass' && type !== 'test:fail')) continue;
    if (data.details && data.details.type === 'suite') continue;
    const outcome = data.skip !== undefined || data.todo !== undefined ? 'skipped'
      : type === 'test:pass' ? 'passed' : 'failed';
    const isFile = data.nesting === 0 && data.file && data.file.endsWith(data.name);
    run.add(outcome, isFile ? null : [...names.slice(0, data.nesting), data.name].join(' > '));
  }
  end();
}
