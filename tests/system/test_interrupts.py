"""Laws of interrupts: the first is noted, the second is heard, and none breaks a save."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from orefield.system.interrupts import StopRequest, interruptible, uninterrupted

POLITE = [signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_the_first_signal_is_noted_and_ctrl_c_then_interrupts(number: int, code: int) -> None:
    with interruptible() as stop:
        assert not stop.is_set()
        signal.raise_signal(number)
        assert (stop.is_set(), stop.exit_code) == (True, code)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert stop.exit_code == code
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(number) is not None


@pytest.mark.parametrize("number", POLITE)
def test_a_shell_may_repeat_what_the_system_sent(number: int) -> None:
    with interruptible() as stop:
        signal.raise_signal(number)
        signal.raise_signal(number)
        signal.raise_signal(signal.SIGTERM)
        assert stop.exit_code == 128 + number


def test_an_output_that_nobody_reads_stops_with_code_one() -> None:
    stop = StopRequest()
    stop.output_lost = True
    assert (stop.is_set(), stop.exit_code) == (True, 1)


@pytest.mark.parametrize("number", [signal.SIGINT, *POLITE])
def test_a_signal_that_was_ignored_before_stays_so(number: int) -> None:
    signal.signal(number, signal.SIG_IGN)
    with interruptible() as stop:
        with uninterrupted():
            signal.raise_signal(number)
        signal.raise_signal(number)
        assert not stop.is_set()
    assert signal.getsignal(number) is signal.SIG_IGN


def test_a_process_started_by_nohup_goes_on() -> None:
    code = (
        "import os, signal\nfrom orefield.system.interrupts import interruptible\n"
        "with interruptible() as stop:\n os.kill(os.getpid(), signal.SIGHUP)\n print(stop.is_set())"
    )
    words = ["sh", "-c", 'trap "" HUP; exec "$0" -c "$1"', sys.executable, code]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_other_threads_note_none_and_change_none() -> None:
    before, told = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with interruptible() as stop, uninterrupted():
            told.append((stop.is_set(), signal.getsignal(signal.SIGINT) is before))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert told == [(False, True)]


def test_ctrl_c_waits_for_the_end_of_a_save() -> None:
    done = []

    def save() -> None:
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("whole")

    with pytest.raises(KeyboardInterrupt):
        save()
    assert done == ["whole"]
    with interruptible() as stop:
        save()
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            save()
    assert done == ["whole"] * 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_save_on_a_dead_disk_can_be_left() -> None:
    presses = []

    def hang() -> None:
        with uninterrupted():
            while True:
                presses.append(1)
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        hang()
    assert len(presses) == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
