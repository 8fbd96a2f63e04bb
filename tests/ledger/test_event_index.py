"""The index of a customer's events is written behind the commits, over whatever they wrote."""

from tests.ledger.shop import (
    Clock,
    book,
    give,
    make_customer,
    other_connection,
    sell_tokens,
    tell,
    use,
)

from faregate import Engine
from faregate.ledger.event_index import index_events


def test_numbers_without_an_event_among_them_are_passed_over(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            for number in range(3):
                await give(engine, customer_id, "1", f"credit {number}")
            async with other_connection(database_url) as store:
                lease = (await store.leases())[0]
                upto = await index_events(store, lease, 0, lease.last_seq)
                assert upto == lease.last_seq > 0
                await book(engine, customer_id, use("after"))
                lease = (await store.leases())[0]
                assert await index_events(store, lease, upto, lease.last_seq) == lease.last_seq
                indexed = await store.fetch("SELECT customer_id FROM customer_events")
                assert [tuple(row) for row in indexed] == [(customer_id,)]

    tell(story())
