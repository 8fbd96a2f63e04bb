"""Operations on API keys, and the proof that the books balance."""

from __future__ import annotations

from collections.abc import Sequence

from faregate.engine.accounts import AccountOperations
from faregate.ledger.heads import LedgerHead
from faregate.ledger.verify import Progress, Report, no_progress, verify
from faregate.platform import keys
from faregate.platform.environments import Mode
from faregate.platform.keys import ApiKey


class AccessOperations(AccountOperations):
    """API keys, and `verify`."""

    async def create_key(
        self,
        mode: Mode,
        role: str,
        name: str,
        secret: str | None = None,
        account_id: str | None = None,
    ) -> tuple[ApiKey, str]:
        """Make an API key, of the platform or of a connected account; returns it with its secret,
        which is shown this once. Raises 404, 409, 422."""
        secret = secret or keys.new_secret(mode)
        context = self.context_of(keys.mode_of(secret))
        if account_id is not None:
            context = await self.acting_for(account_id, context.environment)
        async with self._store.transaction() as transaction:
            key = await keys.store_key(
                transaction, context, secret, role, name, self._ticked(), self._clock()
            )
        return key, secret

    async def find_key(self, secret: str) -> ApiKey | None:
        """Return the key with this secret, None if there is none in force."""
        if not keys.KEY.fullmatch(secret):
            return None
        key = await keys.find_key(self._store, secret)
        if key is not None:
            # Of an account that another process has made, this one hears here.
            await self.acting_for(key.context.account_id, key.context.environment)
        return key

    async def list_keys(self) -> list[ApiKey]:
        """Return all keys, revoked ones too."""
        return await keys.list_keys(self._store)

    async def revoke_key(self, key_id: str) -> None:
        """End a key."""
        async with self._store.transaction() as transaction:
            await keys.revoke_key(transaction, key_id, self._clock())

    async def verify(
        self, progress: Progress = no_progress, heads: Sequence[LedgerHead] = ()
    ) -> Report:
        """Recompute every balance and every hash from the transfers, and compare them with what is
        stored and with heads that were kept elsewhere (the `head` of an earlier report)."""
        return await verify(self._store, self._clock(), progress, heads)
