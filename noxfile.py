"""What is run over the code: `python -m nox` runs lint, types and tests; `python -m nox -l` lists the rest.

Which Pythons and which packages stand in pyproject.toml only. What CI does with these sessions stands in .ci/run.
"""

import os
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "virtualenv"
nox.options.error_on_external_run = True

ROOT = Path(__file__).resolve().parent
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)

WHERE_FROM = """
import pathlib, sys, sysconfig, realtime_trio
home = pathlib.Path(realtime_trio.__file__).resolve()
site = pathlib.Path(sysconfig.get_path("purelib")).resolve()
sys.exit(None if site in home.parents else f"these tests would judge {home}, not the wheel in {site}")
"""


def group(*names: str) -> tuple[str, ...]:
    """Look up the requirements of dependency groups; works with any pip, also without `--group`."""
    return nox.project.dependency_groups(PROJECT, *names)


def install_wheel(session: nox.Session, *requirements: str) -> None:
    """Build the wheel and install it, with [offline] and other requirements."""
    home = Path(session.create_tmp()).resolve() / "wheel"
    for old in home.glob("*.whl"):
        old.unlink()
    session.run("python", "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(home), str(ROOT))
    (wheel,) = home.glob("*.whl")
    session.install(f"{wheel}[offline]", *requirements)
    # in a virtual environment that was kept (nox -r), pip takes an older wheel with the same version for this one
    session.install("--quiet", "--force-reinstall", "--no-deps", str(wheel))


def run_tests(session: nox.Session) -> None:
    """Run pytest against the installed wheel, never against the checkout."""
    install_wheel(session, *group("tests"))
    session.env["PYTHONSAFEPATH"] = "1"  # else the checkout, as the working directory, would be looked through first
    session.run("python", "-c", WHERE_FROM, log=False)
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check format and style with ruff, and the rules of structured concurrency with flake8-async."""
    session.install(*group("lint"))
    session.run("ruff", "format", "--check", "--diff", ".")
    session.run("ruff", "check", ".")
    # ASYNC9: a checkpoint in every path is no promise of ours. ASYNC124: interfaces ask for async. ASYNC114: wants a
    # list of our own names. Tests need a nursery round one task, to cancel it (ASYNC112), tasks that outlive a session
    # (ASYNC111), and the very group that was raised (ASYNC401).
    off = "ASYNC9,ASYNC124,ASYNC114"
    session.run("flake8-async", "--disable", off, *python_files("realtime_trio", "demos", "benchmarks"))
    session.run("flake8-async", "--disable", f"{off},ASYNC111,ASYNC112,ASYNC401", *python_files("tests"))


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy (strict) and pyright: the package, what users would write, and the demos."""
    session.install(f"{ROOT}[offline]", *group("types"))
    users = python_files("tests/typing", "demos")
    session.run("mypy")
    session.run("pyright")
    if users:
        session.run("mypy", "--strict", "--scripts-are-modules", *users)
        session.run("pyright", *users)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests against the wheel on the Python that runs nox; then the demo, once, from an empty directory."""
    run_tests(session)
    if not session.posargs:
        empty = Path(session.create_tmp()) / "empty"
        empty.mkdir(exist_ok=True)
        for left in empty.iterdir():
            left.unlink()
        with session.chdir(empty):
            session.run("python", "-m", "realtime_trio.demo", "--headless")


@nox.session(python=PYTHONS, default=False)
def tests_all(session: nox.Session) -> None:
    """Run the tests against the wheel on each Python that we promise; arguments after `--` go to pytest."""
    run_tests(session)


@nox.session(default=False)
def audit(session: nox.Session) -> None:
    """Look up known vulnerabilities of what a user gets with all extras; needs the network, so CI does not run it.

    The versions are those that pip chooses today. Arguments after `--` go to pip-audit.
    """
    session.install(f"{ROOT}[offline,mcp,otel]")
    frozen = session.run("python", "-m", "pip", "freeze", "--exclude", "realtime_trio", silent=True, log=False)
    chosen = Path(session.create_tmp()).resolve() / "chosen.txt"
    chosen.write_text(str(frozen), encoding="utf-8")
    session.install(*group("audit"))
    try:  # strict: a package that the service does not know was not audited, and that is no success
        session.run(
            "pip-audit", "--requirement", str(chosen), "--no-deps", "--disable-pip", "--strict", *session.posargs
        )
    except nox.command.CommandFailed:
        session.error("pip-audit found something, or did not reach the advisory service: its words stand above")


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Fuzz with atheris, guided by coverage: `nox -s fuzz -- decoder 600` (target, seconds); both, a minute each.

    What it learns stays in `fuzz/corpus` for the next time; a finding is a file `crash-...`, to be played with
    `nox -s fuzz -- decoder crash-...`.
    """
    install_wheel(session, *group("fuzz"))
    session.env["PYTHONSAFEPATH"] = "1"
    session.env["PYTHONPATH"] = str(ROOT / "fuzz")
    corpus = ROOT / "fuzz" / "corpus"
    session.run("python", str(ROOT / "fuzz" / "corpus.py"), str(corpus))
    for target, what in [session.posargs[:2]] if session.posargs else [("decoder", "60"), ("session", "60")]:
        session.run("python", str(ROOT / "fuzz" / "run.py"), target, what, *([str(corpus)] if what.isdigit() else []))


@nox.session(default=False)
def faults(session: nox.Session) -> None:
    """Hold conversations over links that fail anywhere, as many as the argument says: `nox -s faults -- 1000`.

    The numbers are the same every time, so what fails once fails again; a failure says how to play it alone.
    """
    install_wheel(session, *group("tests"))
    session.env["PYTHONSAFEPATH"] = "1"
    session.env["REALTIME_TRIO_FAULTS"] = session.posargs[0] if session.posargs else "1000"
    session.run("python", "-m", "pytest", "tests/faults", "--no-header")


BENCHMARKS = ("decode", "imports", "sessions", "interruptions", "latency", "heard_text", "guard", "echo", "million")


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure against the official SDK, openai-agents and a bare socket loop; prints ratios (a quarter of an hour).

    Arguments after `--` are the names of some of them, and options for them: `--quick` sees that they work.
    """
    install_wheel(session, *group("bench"))
    session.run("python", "-c", WHERE_FROM, env={"PYTHONSAFEPATH": "1"}, log=False)
    options = [argument for argument in session.posargs if argument.startswith("-")]
    for name in [argument for argument in session.posargs if argument not in options] or BENCHMARKS:
        session.run("python", os.fspath(ROOT / "benchmarks" / f"{name}.py"), *options)


def live(session: nox.Session, *arguments: str) -> None:
    """Have sessions live for hours, against the installed wheel; arguments after `--` come last, and count."""
    install_wheel(session)
    session.run("python", "-c", WHERE_FROM, env={"PYTHONSAFEPATH": "1"}, log=False)
    session.run("python", os.fspath(ROOT / "benchmarks" / "hours.py"), *arguments, *session.posargs)


@nox.session(default=False)
def hours(session: nox.Session) -> None:
    """Have a session live for two hours of virtual time, with lost and replaced links; a minute on a quiet machine."""
    live(session, "virtual", "--hours", "2")


@nox.session(default=False)
def minute(session: nox.Session) -> None:
    """Have four sessions over sockets live for a minute, with lost and replaced links."""
    live(session, "sockets", "--seconds", "60", "--sessions", "4")


@nox.session(default=False)
def day(session: nox.Session) -> None:
    """Have a session live for 24 hours of virtual time: thousands of turns, in blocks of 400 ms (ten minutes)."""
    live(
        session,
        "virtual",
        "--hours",
        "24",
        "--block-ms",
        "400",
        "--silence",
        "30",
        "--max-age",
        "1800",
        "--drops",
        "3000",
    )


@nox.session(default=False)
def soak(session: nox.Session) -> None:
    """Have ten sessions over sockets live for twenty minutes, against one server in a process of its own."""
    live(session, "sockets", "--seconds", "1200", "--sessions", "10", "--every", "30")


def python_files(*folders: str) -> list[str]:
    """List the Python files in these folders of the checkout."""
    return [str(path.relative_to(ROOT)) for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
