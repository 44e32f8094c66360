// Node.js loads this file first, by NODE_OPTIONS. Jest, Mocha and Vitest then write what they
// ran to a directory that only this file names; node:test has a reporter of its own beside it.
// What they start themselves sees the environment as it is without it.
'use strict';
const { reports, environment, vitest } = "@SETTINGS@";
const fs = require('node:fs');
const path = require('node:path');
let count = 0;

class Run {
  constructor(runner) {
    this.report = { runner, session: false, silent: false, cut: false,
      counts: { passed: 0, failed: 0, skipped: 0 }, tests: { passed: [], failed: [], skipped: [] } };
    this.bytes = 0;
    this.name = path.join(reports, `${process.pid}-${++count}`);
    clean();
    this.write('.start', runner);
  }
  write(suffix, text) {
    try { fs.writeFileSync(this.name + suffix, text); } catch { /* then nothing is reported */ }
  }
  add(outcome, test) {
    this.report.counts[outcome] += 1;
    // What cannot be loaded or set up is no test: it is gone when that is mended.
    if (test === null) return;
    this.bytes += test.length + 4;
    if (this.bytes > 3000000) this.report.cut = true;
    else this.report.tests[outcome].push(test);
  }
  end() {
    this.report.session = true;
    this.write('.end', JSON.stringify(this.report));
  }
}

function clean() {
  for (const [name, value] of Object.entries(environment)) {
    if (value === null) delete process.env[name];
    else process.env[name] = value;
  }
}

globalThis[Symbol.for(reports)] = Run;
// The processes of `node --test`.
if (process.env.NODE_TEST_CONTEXT) clean();

const program = path.basename(process.argv[1] || '').replace(/\.[cm]?js$/, '');
const words = process.argv.slice(2);
if (program === 'vitest' && !['list', 'bench', 'init', 'typecheck'].includes(words[0])
    && !words.some((word) => /^--(reporter|outputFile|help|version|standalone|ui|mergeReports)|^-[hv]$/.test(word))) {
  process.argv.push('--reporter=default', `--reporter=${vitest}`);
}

if (['jest', 'mocha', '_mocha', 'cli', 'react-scripts', 'test'].includes(program)) {
  const Module = require('node:module');
  const load = Module._load;
  const seen = new WeakMap();
  Module._load = function (request, parent, main) {
    const exported = load.call(this, request, parent, main);
    if (request === '@jest/core') return jest(exported, seen);
    if (/(^|\/)(runner|parallel-buffered-runner)(\.js)?$/.test(request) && parent
        && /[\\/]mocha[\\/]lib[\\/]/.test(parent.filename || '')) mocha(exported, seen);
    return exported;
  };
}

function jest(exported, seen) {
  if (!exported || typeof exported.runCLI !== 'function') return exported;
  if (!seen.has(exported)) {
    const runCLI = async function (...args) {
      const run = new Run('jest');
      const all = await exported.runCLI.apply(this, args);
      for (const file of (all && all.results && all.results.testResults) || []) {
        for (const test of file.testResults || []) {
          const outcome = { passed: 'passed', failed: 'failed' }[test.status] || 'skipped';
          run.add(outcome, `${path.relative(process.cwd(), file.testFilePath)} ${test.fullName}`);
        }
        if (file.testExecError) run.add('failed', null);
      }
      run.end();
      return all;
    };
    seen.set(exported, Object.create(exported, { runCLI: { value: runCLI, enumerable: true } }));
  }
  return seen.get(exported);
}

let mochaRun = null;
function mocha(exported, seen) {
  const Runner = typeof exported === 'function' ? exported : exported && exported.Runner;
  if (!Runner || seen.has(Runner) || !Object.hasOwn(Runner.prototype, 'run')) return;
  seen.set(Runner, true);
  mochaRun = mochaRun || new Run('mocha');
  const original = Runner.prototype.run;
  Runner.prototype.run = function (...args) {
    if (this.watched) return original.apply(this, args);
    Object.defineProperty(this, 'watched', { value: true });
    this.on('pass', (test) => mochaRun.add('passed', test.fullTitle()));
    this.on('fail', (test) => mochaRun.add('failed', test.type === 'hook' ? null : test.fullTitle()));
    this.on('pending', (test) => mochaRun.add('skipped', test.fullTitle()));
    this.prependListener('end', () => mochaRun.end());
    return original.apply(this, args);
  };
}
