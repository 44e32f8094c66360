// A reporter of Vitest: writes what ran, beside the reporter for people.
const Run = globalThis[Symbol.for("@REPORTS@")];

export default class {
  onInit() {
    this.run = Run && new Run('vitest');
  }
  end(tests) {
    if (!this.run) return;
    for (const [outcome, name] of tests) this.run.add(outcome, name);
    this.run.end();
    this.run = null;
  }
  // Vitest 3 and later.
  onTestRunEnd(modules) {
    this.end(modules.flatMap((module) => [...module.children.allTests()].map((test) => {
      const state = test.result() && test.result().state;
      return [state === 'passed' || state === 'failed' ? state : 'skipped',
        `${module.relativeModuleId || ''} ${test.fullName}`];
    })));
  }
  // Before.
  onFinished(files) {
    const walk = (task, above) => task.tasks
      ? task.tasks.flatMap((inner) => walk(inner, [...above, task.name]))
      : [[{ pass: 'passed', fail: 'failed' }[task.result && task.result.state] || 'skipped',
        [...above, task.name].join(' > ')]];
    this.end((files || []).flatMap((file) => walk(file, [])));
  }
}
