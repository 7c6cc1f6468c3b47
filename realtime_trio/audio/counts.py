"""What an open sound card went through, added up over all the hardware that it had in the course of time."""

import attrs

from .blocks import Assembler
from .clocked import DeviceStatistics
from .hardware import Hardware

__all__ = ["Counts"]


@attrs.define
class Counts:
    """Counts of hardware that was given up, and of the time without any. Underruns of rings are known to `Handover`."""

    blocks: int = 0
    late: int = 0
    overruns: int = 0
    lost: int = 0
    corrections: int = 0
    realignments: int = 0
    failures: int = 0

    def pass_without_hardware(self, blocks: int = 1, *, received: bool = True) -> None:
        """Count blocks of silence; those that nobody received are overruns too."""
        self.blocks += blocks
        self.lost += blocks
        self.overruns += 0 if received else blocks

    def with_hardware(self, hardware: Hardware | None, assembler: Assembler | None) -> "Counts":
        """Add what the present hardware has gone through.

        Returns:
            The sum, a new one.
        """
        if hardware is None or assembler is None:
            return attrs.evolve(self)
        return Counts(
            blocks=self.blocks + hardware.input.passed,
            late=self.late + hardware.output.late,
            overruns=self.overruns + sum(callback.overruns for callback in hardware.callbacks),
            lost=self.lost,
            corrections=self.corrections + assembler.corrections,
            realignments=self.realignments + assembler.realignments,
            failures=self.failures + hardware.failures,
        )

    def statistics(self, underruns: int, last: Hardware | None) -> DeviceStatistics:
        """Put it into words for the program.

        Args:
            underruns: Of all rings.
            last: The present hardware, or the last there was.
        """
        return DeviceStatistics(
            self.blocks,
            self.late + underruns,
            self.overruns,
            self.lost,
            corrections=self.corrections,
            realignments=self.realignments,
            failures=self.failures,
            streams=None if last is None else "duplex" if last.input is last.output else "separate",
            rates=None if last is None else (last.formats[0].rate, last.formats[1].rate),
        )
