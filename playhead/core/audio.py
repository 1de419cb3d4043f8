"""Types of decoded audio."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Mono samples between -1 and 1.
Samples = NDArray[np.float32]
#: A row per sample time, a column per channel; signed, 16 bit.
Pcm = NDArray[np.int16]
