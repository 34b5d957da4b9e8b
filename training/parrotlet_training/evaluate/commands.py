"""What `parrotlet evaluate` runs."""

from __future__ import annotations

import argparse

from .report import Report


def bits(options: argparse.Namespace) -> int:
    """Runs `parrotlet evaluate bits`."""
    from .held_out_bits import measure

    return _publish(measure(options), options)


def lines(options: argparse.Namespace) -> int:
    """Runs `parrotlet evaluate lines`."""
    from .line_report import measure

    return _publish(measure(options), options)


def tasks(options: argparse.Namespace) -> int:
    """Runs `parrotlet evaluate tasks`."""
    return _execute(options, infilling=False)


def infilling(options: argparse.Namespace) -> int:
    """Runs `parrotlet evaluate infilling`."""
    return _execute(options, infilling=True)


def memorisation(options: argparse.Namespace) -> int:
    """Runs `parrotlet evaluate memorisation`."""
    from .memorisation import measure

    return _publish(measure(options), options)


def sample(options: argparse.Namespace) -> int:
    """Runs `parrotlet sample`."""
    from .samples import run

    print(run(options))
    return 0


def everything(options: argparse.Namespace) -> int:
    """Runs `parrotlet evaluate all`."""
    from .suite import run

    print(run(options))
    return 0


def _execute(options: argparse.Namespace, infilling: bool) -> int:
    from .tasks import measure

    report = measure(options, infilling)
    if report is None:
        print(f"answers written to {options.completions}; --run-generated-code scores them")
        return 0
    _publish(report, options)
    # a reference that fails is a fault of the file or of this machine
    return int(bool(report.details.get("failing")))


def _publish(report: Report, options: argparse.Namespace) -> int:
    report.publish(options.json, options.markdown)
    return 0
