import numpy as np
import pytest

from pipeline.simulation.models.philox import random_words


@pytest.mark.parametrize(
    ("block", "path", "stream", "seed", "subject"), [(1, 0, 0, 0, 0), (5, 9, 2, 7, 11), (2**64 - 1, 3, 1, 2**63, 42)]
)
def test_words_equal_numpys(block: int, path: int, stream: int, seed: int, subject: int) -> None:
    counter = np.array([block - 1, path, stream, 0], dtype=np.uint64)  # numpy counts up before it draws
    theirs = np.random.Philox(key=np.array([seed, subject], dtype=np.uint64), counter=counter).random_raw(4)
    ours = random_words(*(np.uint64(word) for word in (block, path, stream, seed, subject)))
    assert list(ours) == theirs.tolist()
