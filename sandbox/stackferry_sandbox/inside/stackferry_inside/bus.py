"""Make oslo.messaging's in-memory transport deliver at once instead of polling every 50 ms."""

import threading
import time
from typing import Any

PATIENCE = 1.0
"""How long a listener sleeps at most: it has to notice that it was stopped."""


def adapt() -> None:
    """Wake listeners by a condition when a message arrives."""
    from oslo_messaging._drivers import base, impl_fake

    arrived = threading.Condition()
    deliver = impl_fake.FakeExchange.deliver_message

    def deliver_message(self: Any, *args: Any, **options: Any) -> None:
        deliver(self, *args, **options)
        with arrived:
            arrived.notify_all()

    @base.batch_poll_helper
    def poll(self: Any, timeout: float | None = None) -> Any:
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._stopped.is_set():
            with arrived:
                for target in self._targets:
                    exchange = self._exchange_manager.get_exchange(target.exchange)
                    context, message, reply_queue, requeue = exchange.poll(target, self._pool)
                    if message is not None:
                        return impl_fake.FakeIncomingMessage(context, message, reply_queue, requeue)
                left = PATIENCE if deadline is None else deadline - time.monotonic()
                if left <= 0:
                    return None
                arrived.wait(min(PATIENCE, left))
        return None

    impl_fake.FakeExchange.deliver_message = deliver_message
    impl_fake.FakeListener.poll = poll
