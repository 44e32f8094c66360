# Python loads this file because its directory is on PYTHONPATH. unittest and pytest then
# write what they ran to a directory that only this file names. What they start themselves
# sees the environment and the import path as they are without it.
import sys


def _install(reports, environment):
    import os

    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]
    # The installation's own file of this name, which this one hides.
    own = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # noqa: F401
    except ImportError:
        sys.modules["sitecustomize"] = own

    class Run:
        """One run of a runner: a file at its start, another at its end."""

        active = None
        count = 0

        def __init__(self, runner):
            Run.count += 1
            Run.active = self
            self.runner, self.process, self.session = runner, os.getpid(), False
            self.tests, self.bytes, self.cut = {}, 0, False
            self.counts = {"passed": 0, "failed": 0, "skipped": 0}
            self.name = os.path.join(reports, "%d-%d" % (self.process, Run.count))
            for name, value in environment.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            self.write(".start", runner)

        def write(self, suffix, text):
            try:
                with open(self.name + suffix, "w", encoding="utf-8", errors="replace") as file:
                    file.write(text)
            except OSError:
                pass

        def add(self, outcome, test):
            self.counts[outcome] += 1
            # What cannot be loaded or set up is no test: it is gone when that is mended.
            if test is None:
                return
            self.bytes += len(test) + 4
            if self.bytes > 3000000:
                self.cut = True
            elif self.tests.get(test) != "failed":
                self.tests[test] = outcome

        def end(self, silent=False):
            Run.active = None
            # A child that a test forked is another process.
            if os.getpid() != self.process:
                return
            import json

            names = {outcome: [] for outcome in self.counts}
            for test, outcome in self.tests.items():
                names[outcome].append(test)
            report = {"runner": self.runner, "session": self.session, "silent": silent, "cut": self.cut}
            self.write(".end", json.dumps(dict(report, counts=self.counts, tests=names)))

    def outermost():
        return Run.active is None and "PYTEST_CURRENT_TEST" not in os.environ

    def unittest_main(module):
        program, original = module.TestProgram, module.TestProgram.__init__

        def __init__(self, *args, **kwargs):
            if not outermost():
                return original(self, *args, **kwargs)
            run = Run("unittest")
            try:
                return original(self, *args, **kwargs)
            finally:
                runner = getattr(self, "testRunner", None)
                kind = runner if isinstance(runner, type) else type(runner)
                run.end(silent=runner is None or kind.__module__ == "unittest.runner")

        program.__init__ = __init__

    def unittest_runner(module):
        runner, original = module.TextTestRunner, module.TextTestRunner.run

        def run(self, test):
            own = outermost()
            active = Run("unittest") if own else Run.active
            if active is None or active.runner != "unittest" or active.session:
                return original(self, test)
            make = self._makeResult
            self._makeResult = lambda: watched(make(), active)
            try:
                result = original(self, test)
                active.session = True
                return result
            finally:
                self._makeResult = make
                if own:
                    active.end()

        runner.run = run

    def watched(result, run):
        def watch(method, outcome):
            original = getattr(result, method)

            def seen(test, *args):
                if method != "addSubTest":
                    is_test = hasattr(test, "_testMethodName") and type(test).__module__ != "unittest.loader"
                    run.add(outcome, test.id() if is_test else None)
                elif args[-1] is not None:
                    run.add("failed", test.id())
                return original(test, *args)

            setattr(result, method, seen)

        for method, outcome in (
            ("addSuccess", "passed"),
            ("addFailure", "failed"),
            ("addError", "failed"),
            ("addUnexpectedSuccess", "failed"),
            ("addSkip", "skipped"),
            ("addExpectedFailure", "skipped"),
            ("addSubTest", "failed"),
        ):
            watch(method, outcome)
        return result

    class Plugin:
        """Of pytest; of xdist's processes only the one that collects the others' reports."""

        def __init__(self, run):
            self.run = run

        def pytest_runtest_logreport(self, report):
            if report.when == "call" or report.outcome != "passed":
                outcome = report.outcome if report.outcome in self.run.counts else "skipped"
                self.run.add(outcome, report.nodeid)

        def pytest_sessionfinish(self, session):
            self.run.session = True

    def pytest_config(module):
        name = "_main" if hasattr(module, "_main") else "main"
        original_main, original_config = getattr(module, name), module.get_config

        def main(*args, **kwargs):
            if not outermost() or "PYTEST_XDIST_WORKER" in os.environ:
                return original_main(*args, **kwargs)
            run = Run("pytest")
            try:
                return original_main(*args, **kwargs)
            finally:
                run.end()

        def get_config(*args, **kwargs):
            config = original_config(*args, **kwargs)
            run = Run.active
            if run is not None and run.runner == "pytest" and not hasattr(run, "plugin"):
                run.plugin = Plugin(run)
                config.pluginmanager.register(run.plugin)
            return config

        setattr(module, name, main)
        module.get_config = get_config

    patches = {
        "unittest.main": unittest_main,
        "unittest.runner": unittest_runner,
        "_pytest.config": pytest_config,
    }

    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            patch = patches.pop(name, None)
            if patch is None:
                return None
            for finder in sys.meta_path:
                spec = finder.find_spec(name, path, target) if hasattr(finder, "find_spec") else None
                if spec is not None:
                    break
            else:
                return None
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                try:
                    patch(module)
                except AttributeError:
                    pass  # A version that has these things elsewhere reports nothing.

            try:
                spec.loader.exec_module = exec_module
            except AttributeError:
                pass
            return spec

    sys.meta_path.insert(0, Finder)


_install(*"@SETTINGS@")
