"""The largest message of the original: it goes through the npm package in both directions, and a byte more through neither."""

from __future__ import annotations

import pytest

import lab
import wire
from obstacles import obstacle, skip
from peers import ORIGINALS, Cast, Peer, meet

AROUND = len('{"id":"a","message":""}')
LARGEST = wire.MAX_DATAGRAM - wire.DIGEST_SIZE - AROUND
"""Characters of a message whose datagram has 65,507 bytes, for an id of one character."""


SILENT = ("original-0.8.28", "original-0.10.48")
"""On these runtimes the original is not told that the system has refused a datagram."""


def is_refused(sender: Peer, receivers: list[Peer], size: int) -> None:
    """No receiver hears it; the sender is told."""
    marks = {receiver: receiver.mark() for receiver in receivers}
    since = sender.mark()
    sender.send("x" * size)
    is_sent = sender.kind in SILENT
    sender.wait_until(
        lambda: sender.seen("sent", since, bytes=wire.MAX_DATAGRAM + 1) or sender.seen("error", since), "an answer"
    )
    assert bool(sender.seen("error", since)) != is_sent, sender.story
    sender.send("after it")
    for receiver, mark in marks.items():
        receiver.wait_messages(sender, ["after it"], mark)


@pytest.mark.parametrize("original", ORIGINALS)
def test_the_largest_message_of_the_original(original: str) -> None:
    if not lab.detect().isolated:
        skip(f"it needs network namespaces: {lab.detect().reason}")
    reason = obstacle(("node", original))
    if reason is not None:
        skip(reason)
    here = lab.NamespaceLab(3)
    try:
        with Cast(here) as cast:
            theirs = cast.start(original, here.hosts[0], id="a")
            ours = cast.start("node", here.hosts[1], id="b")
            third = cast.start(original, here.hosts[2], id="c")
            peers = [theirs, ours, third]
            meet(peers)
            for size in (LARGEST - 1, LARGEST):
                for sender, receivers in ((theirs, (ours, third)), (ours, (theirs, third))):
                    since = sender.mark()
                    for receiver in receivers:
                        receiver.hear_large(sender, "x" * size)
                    length = wire.MAX_DATAGRAM - LARGEST + size
                    sender.wait_until(lambda: sender.seen("sent", since, bytes=length), f"{length} bytes sent")
            for sender in (ours, theirs):
                is_refused(sender, [peer for peer in peers if peer is not sender], LARGEST + 1)
    finally:
        here.close()
