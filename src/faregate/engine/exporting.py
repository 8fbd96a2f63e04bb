"""Events into a file: walked a little at a time, so that charges do not wait, and written as they
come, so that it takes the same memory for a thousand as for millions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final, Literal

import msgspec

from faregate.customers import directory
from faregate.engine.exploring import ExploringOperations, WantedEvents
from faregate.engine.job_run import JobRun
from faregate.insights.exported import Owner, Row, rows_of
from faregate.insights.spreadsheets import check_format, open_sheet
from faregate.ledger import reading
from faregate.ledger.exploring import EventFilters, walk_events
from faregate.platform.environments import AccountContext
from faregate.platform.jobs import JobFile
from faregate.store.protocol import Pair
from faregate.store.schema import first_seq

AT_ONCE: Final = 25
"""Events that are read and written before others have their turn."""
WALKED: Final = 500
"""Events that one look finds at the most."""
MAX_NAMES: Final = 10_000
"""Customers whose names are remembered."""


class ExportEvents(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """Write events that fit some filters into a file, the newest first."""

    format: Literal["csv", "parquet"] = "csv"
    events: WantedEvents = WantedEvents()


class Exported(msgspec.Struct, frozen=True):
    """What is in the file."""

    events: int
    rows: int


class ExportingOperations(ExploringOperations):
    """Exports."""

    async def _check_export(self, request: ExportEvents, context: AccountContext) -> None:
        check_format(request.format)
        self._exports.check()
        await self._event_filters(context.environment_id, request.events)

    async def _export_events(self, run: JobRun) -> tuple[Exported, JobFile]:
        """Do the job `export_events`. Raises `NoRoom`."""
        request: ExportEvents = run.request
        environment = await self._look(run.context)
        filters = await self._event_filters(environment, request.events)
        name = self._exports.new_name(f"events-{self._clock():%Y-%m-%d}", request.format)
        part = self._exports.begin(name)
        try:
            sheet = open_sheet(request.format, part.file)
            writing = _Writing(run)
            try:
                async with aclosing(self._exported_rows(filters, writing)) as pages:
                    async for rows in pages:
                        if request.format == "csv":
                            sheet.add(rows)
                        else:
                            await asyncio.to_thread(sheet.add, rows)
                        part.check(part.file.tell())
                await asyncio.to_thread(sheet.end)
            except BaseException:
                sheet.give_up()
                raise
            size = await asyncio.to_thread(part.keep)
        finally:
            part.drop()
        return Exported(writing.events, writing.rows), JobFile(name, size)

    async def _exported_rows(
        self, filters: EventFilters, writing: _Writing
    ) -> AsyncGenerator[list[Row], None]:
        """Walk the events that fit, lane by lane, and yield the rows of some at a time."""
        view = self._catalog.view(filters.environment_id)
        owners: dict[str, Owner] = {}
        lanes = {lease.lane: lease.last_seq for lease in await self._store.leases()}
        if filters.customer_id is not None:
            only = await self._lane_of(filters.environment_id, filters.customer_id)
            lanes = {only.number: lanes[only.number]}
        writing.total = sum([last - first_seq(lane) for lane, last in lanes.items()])
        is_in_order = not view.clocks
        for lane, last in lanes.items():
            at = last + 1
            walk = walk_events(self._store, lane, filters, at, WALKED, is_in_order=is_in_order)
            async for found, downto in walk:
                keys = [(one.listed.id, one.listed.customer_id) for _, one in found]
                for start in range(0, len(keys), AT_ONCE):
                    some = keys[start : start + AT_ONCE]
                    await self._read_owners(filters.environment_id, some, owners)
                    booked = await reading.read_events(self._store, lane, some)
                    rows = [
                        row
                        for key in some
                        for row in rows_of(key[1], owners[key[1]], booked[key], view)
                    ]
                    writing.wrote(len(some), len(rows))
                    yield rows
                    await writing.run.breathe()
                writing.walked(at - downto)
                at = downto
                await writing.run.breathe()

    async def _read_owners(
        self, environment: int, keys: Sequence[Pair], owners: dict[str, Owner]
    ) -> None:
        missing = list({customer_id for _, customer_id in keys} - owners.keys())
        if not missing:
            return
        if len(owners) > MAX_NAMES:
            owners.clear()
            missing = list({customer_id for _, customer_id in keys})
        found = await directory.names(self._store, environment, missing)
        owners.update({name: Owner(*found.get(name, ("", None))) for name in missing})


class _Writing:
    """How far an export has come: events and rows written, and numbers of the lanes gone through,
    of which nobody knows before how many are events that fit."""

    def __init__(self, run: JobRun) -> None:
        self.run = run
        self.events = 0
        self.rows = 0
        self.total = 0
        self._walked = 0

    def wrote(self, events: int, rows: int) -> None:
        """Count what was written."""
        self.events += events
        self.rows += rows
        self._tell()

    def walked(self, numbers: int) -> None:
        """Count what was gone through."""
        self._walked += numbers
        self._tell()

    def _tell(self) -> None:
        words = f"{self.events:,} events written"
        self.run.progress(self._walked, self.total, words)
