"""When a circuit opens, who may try, and what counts."""

from __future__ import annotations

from serving.forwarding.circuit import Circuit


def opened(failures: int = 3) -> Circuit:
    circuit = Circuit(failures, clock=lambda: 7.0)
    for _ in range(failures):
        fail(circuit)
    return circuit


def fail(circuit: Circuit) -> bool:
    entry = circuit.enter()
    assert entry is not None
    return circuit.fail(entry)


def succeed(circuit: Circuit) -> None:
    entry = circuit.enter()
    assert entry is not None
    circuit.succeed(entry)


def test_failures_in_a_row_open_it() -> None:
    circuit = Circuit(3, clock=lambda: 7.0)
    assert [fail(circuit) for _ in range(2)] == [False, False]
    succeed(circuit)
    assert [fail(circuit) for _ in range(3)] == [False, False, True]
    assert (circuit.state, circuit.opened_at, circuit.enter()) == ("open", 7.0, None)


def test_after_a_probe_one_call_tries() -> None:
    circuit = opened()
    circuit.probed()
    trial = circuit.enter()
    assert trial is not None
    assert circuit.enter() is None
    circuit.succeed(trial)
    assert circuit.state == "closed"
    succeed(circuit)


def test_a_trial_that_fails_opens_it_again() -> None:
    circuit = opened()
    circuit.probed()
    assert fail(circuit)
    assert circuit.state == "open"


def test_a_trial_that_shows_nothing_lets_another_try() -> None:
    circuit = opened()
    circuit.probed()
    trial = circuit.enter()
    assert trial is not None
    circuit.leave(trial)
    assert circuit.state == "half_open"
    succeed(circuit)
    assert circuit.state == "closed"


def test_calls_from_before_decide_nothing() -> None:
    circuit = Circuit(1)
    late, slow = circuit.enter(), circuit.enter()
    assert late is not None
    assert slow is not None
    fail(circuit)
    circuit.succeed(late)
    assert circuit.state == "open"
    circuit.probed()
    assert not circuit.fail(slow)
    circuit.leave(slow)
    assert circuit.state == "half_open"
    succeed(circuit)
    assert circuit.state == "closed"


def test_a_probe_changes_a_circuit_that_is_open_only() -> None:
    circuit = Circuit(1)
    circuit.probed()
    assert circuit.state == "closed"
