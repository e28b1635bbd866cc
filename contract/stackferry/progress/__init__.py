"""Where the servers and volumes of a migration are: phase, bytes, rate, time left. Pure; every face shows these words.

progress = Progress()
progress.load(ferry.show(migration)["steps"], now)      # once, and again when the migration enters another phase
progress.take(fact.name, fact.data, now)                # each fact, as it comes
progress.standings(now), progress.total(now)
"""

from .fold import Progress
from .meter import Meter
from .standing import Amount, Standing

__all__ = ["Amount", "Meter", "Progress", "Standing"]
