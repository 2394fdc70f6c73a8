"""Whose turn it is among the clients of one lane."""

from .entry import Entry


class _Account:
    __slots__ = ("last_turn", "pieces", "waiting")

    def __init__(self, last_turn: float) -> None:
        self.last_turn = last_turn
        self.waiting = self.pieces = 0


class Turns:
    """Deficit round robin in pieces, without the rounds: each entry gets its turn when it comes.

    A client's entries have turns that lie as far apart as the entries are long, padding that they caused added to the
    ones that come after; a client that has nothing waiting starts at the clock, which shows the turn that was served
    last. So clients are served piece for piece alike, a client that was idle has nothing saved, and one that got
    spare room ahead of its turn has forgotten it by the next time it is idle. Nobody's turn depends on how much
    others have waiting. (Self-clocked fair queueing, Golestani 1994: a deficit round robin whose quantum is nothing.)

    Bound: an entry whose turn is `ahead = turn - clock` away when it comes is the first of its lane after every other
    client was first for at most `ahead` pieces and one entry more, since turns of one client that wait lie so far
    apart, and a client that comes later starts at the clock. And `ahead` is at most what the entry's own client has
    added since it last had nothing waiting, with the padding of that.
    """

    def __init__(self, ahead_pieces: int) -> None:
        self.clock = 0.0
        self._ahead_pieces = ahead_pieces
        self._pieces = 0
        self._accounts: dict[str, _Account] = {}

    def behind(self, client: str, entry: Entry) -> bool:
        """Whether an entry that has joined is of a client that has little waiting, and is not far ahead of its turn."""
        little = 2 * len(self._accounts) * self._accounts[client].pieces <= self._pieces
        return little and entry.turn - self.clock <= self._ahead_pieces

    def turn_of(self, client: str, length: int) -> float:
        """The turn that an entry of this length would get."""
        account = self._accounts.get(client)
        return length + (self.clock if account is None else max(self.clock, account.last_turn))

    def join(self, client: str, entry: Entry) -> None:
        """An entry waits at its turn."""
        account = self._accounts.get(client)
        if account is None:
            account = self._accounts[client] = _Account(entry.turn)
        account.last_turn = max(account.last_turn, entry.turn)
        account.waiting += 1
        account.pieces += entry.length
        self._pieces += entry.length

    def leave(self, client: str, entry: Entry) -> None:
        """An entry of the client waits no more."""
        account = self._accounts[client]
        account.waiting -= 1
        account.pieces -= entry.length
        self._pieces -= entry.length
        if not account.waiting:
            del self._accounts[client]

    def charge(self, client: str, padding: int) -> None:
        """A client's entry took up places that hold no piece: what the client adds next comes so much later."""
        account = self._accounts.get(client)
        if account is not None:
            account.last_turn += padding

    def serve(self, turn: float) -> None:
        """The clock shows the turn of the entry that is first."""
        self.clock = max(self.clock, turn)
