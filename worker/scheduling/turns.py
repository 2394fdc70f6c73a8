"""Whose turn it is among the clients of one lane."""

from .entry import Entry


class _Account:
    __slots__ = ("next_turn", "pieces", "waiting")

    def __init__(self) -> None:
        self.next_turn = 0.0
        self.waiting = self.pieces = 0


class Turns:
    """Deficit round robin in pieces, without the rounds: each entry gets its turn when it comes.

    A client's turns lie as far apart as its entries are long, with the padding that they caused added to those that
    come after. A client that has nothing waiting starts at the clock, which shows the turn that was served last. So
    clients are served piece for piece alike; a client that was idle has nothing saved; one that got spare room ahead
    of its turn has forgotten it by the next time it is idle. Nobody's turn depends on how much others have waiting.
    (Start-time fair queueing, Goyal et al. 1996: a deficit round robin whose quantum is nothing.)

    Bound: an entry whose turn is `ahead = turn - clock` away when it comes is the first of its lane after every client
    was first for at most `ahead` pieces and one entry: what waits of a client has turns that lie so far apart, and
    what comes later starts at the clock. And `ahead` is at most what the entry's own client has added since it last
    had nothing waiting, with the padding of that: nothing at all for the first segment of a client.
    """

    def __init__(self, early_pieces: int) -> None:
        self.clock = 0.0
        self._early_pieces = early_pieces
        self._pieces = 0
        self._accounts: dict[str, _Account] = {}

    def turn_of(self, client: str) -> float:
        """The turn that the client's next entry would get."""
        account = self._accounts.get(client)
        return self.clock if account is None else max(self.clock, account.next_turn)

    def join(self, client: str, entry: Entry) -> None:
        """An entry waits at its turn."""
        account = self._accounts.get(client)
        if account is None:
            account = self._accounts[client] = _Account()
        account.next_turn = max(account.next_turn, entry.turn + entry.length)
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
            account.next_turn += padding

    def serve(self, turn: float) -> None:
        """The clock shows the turn of the entry that is first."""
        self.clock = max(self.clock, turn)

    def due(self, entry: Entry) -> bool:
        """Whether the entry's turn is not far off: its client has not been served far ahead of its turn."""
        return entry.turn - self.clock <= self._early_pieces

    def small(self, client: str) -> bool:
        """Whether a client that waits has less than half as much waiting as the clients of the lane on average."""
        return 2 * len(self._accounts) * self._accounts[client].pieces <= self._pieces
