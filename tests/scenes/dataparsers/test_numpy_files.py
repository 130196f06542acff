"""NumPy's files are read without trusting their headers; pickles and odd archives never."""

import re
import zipfile
from io import BytesIO

import numpy as np
import pytest

from orefield.errors import LONGEST
from orefield.scenes.dataparsers.numpy_files import read_npy, read_npz
from orefield.types import SceneError


def matrices(file):
    return read_npz(file, re.compile(".*"))[0]


def npy(header: str, data: bytes = bytes(9 * 17 * 8), version: tuple[int, int] = (1, 0)) -> bytes:
    head = header.encode("latin-1")
    size = len(head).to_bytes(2 if version == (1, 0) else 4, "little")
    return b"\x93NUMPY" + bytes(version) + size + head + data


def header(shape: str, kind: str = "'<f8'", order: str = "False") -> str:
    return f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}}}\n"


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("kind", ["<f8", ">f4", "<f2", "<i8", "|u1", "<u2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_what_numpy_writes_is_read_back(tmp_path, version, kind, order):
    array = np.asarray(np.arange(24).reshape(4, 6), kind, order=order)
    file = tmp_path / "a.npy"
    with file.open("wb") as stream:
        np.lib.format.write_array(stream, array, version)
    np.testing.assert_array_equal(read_npy(file), array)
    assert read_npy(file).dtype == array.dtype
    np.savez_compressed(tmp_path / "a.npz", m=array[:, :4])
    np.testing.assert_array_equal(matrices(tmp_path / "a.npz")["m"], array[:, :4])


def test_no_numbers_are_an_array_too(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((0, 17)))
    assert read_npy(tmp_path / "a.npy").shape == (0, 17)


BAD = {
    "no file of numpy's": b"hello",
    "empty": b"",
    "an archive": b"PK\x03\x04" + bytes(90),
    "a pickle": b"\x80\x04K\x01.",
    "objects": npy(header("(9, 17)", "'|O'")),
    "texts": npy(header("(9, 17)", "'<U4'")),
    "times": npy(header("(9, 17)", "'<M8[s]'")),
    "complex": npy(header("(4, 17)", "'<c16'")),
    "fields": npy(header("(9,)", "[('a', '<f8'), ('b', '<f8')]")),
    "rows within": npy(header("(9,)", "('<f8', (17,))")),
    "too small": npy(header("(10, 17)")),
    "huge": npy(header(f"({2**62}, 17)")),
    "overflowing": npy(header(f"({2**62}, {2**62}, 4)")),
    "beyond integers": npy(header(f"({10**30}, 17)")),
    "negative": npy(header("(-1, 17)")),
    "twice negative": npy(header("(-9, -17)")),
    "a broken size": npy(header("(9.0, 17)")),
    "a call": npy(header("exit(3)")),
    "an unknown version": npy(header("(9, 17)"), version=(9, 9)),
    "deep": npy(header("(" * 3000)),
    "deep minus": npy(header("-" * 9000 + "1")),
    "long": npy(header("(9, 17)") + " " * 40_000),
    "bytes": npy(header("(9, 17)") + "\xff\xfe\0"),
}


@pytest.mark.parametrize("case", BAD)
def test_whatever_is_wrong_is_one_line(tmp_path, case):
    file = tmp_path / "a.npy"
    file.write_bytes(BAD[case])
    with pytest.raises(SceneError, match=r"a\.npy: cannot be read as a NumPy file \(") as caught:
        read_npy(file)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) <= LONGEST
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("m.npy", BAD[case])
    with pytest.raises(SceneError, match=r"a\.npz: m\.npy: "):
        matrices(tmp_path / "a.npz")


def test_a_size_of_true_is_one(tmp_path):
    file = tmp_path / "a.npy"
    file.write_bytes(npy(header("(True, 17)")))
    assert [type(size) for size in read_npy(file).shape] == [int, int]
    assert read_npy(file).shape == (1, 17)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    (tmp_path / "folder").mkdir()
    for name in ("nothing", "folder"):
        for read in (read_npy, matrices):
            with pytest.raises(SceneError, match=f"{name}: cannot be read"):
                read(tmp_path / name)


def matrix() -> bytes:
    stream = BytesIO()
    np.save(stream, np.eye(4))
    return stream.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_other_compression_than_numpys_is_refused(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
        archive.writestr("m.npy", matrix())
    with pytest.raises(SceneError, match=r"m\.npy: expected numpy\.savez's or savez_compressed's"):
        matrices(tmp_path / "a.npz")


def test_encrypted_repeated_and_odd_members_are_refused(tmp_path):
    file = tmp_path / "a.npz"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("m.npy", matrix())
    data = bytearray(file.read_bytes())
    for start, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(start) + flags] |= 1
    file.write_bytes(data)
    with pytest.raises(SceneError, match=r"m\.npy: cannot be read .*encrypted"):
        matrices(file)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("m.npy", matrix())
        archive.writestr("m", matrix())
    with pytest.raises(SceneError, match="m: is there twice"):
        matrices(file)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("\x1b[2J.npy", b"nothing")
    with pytest.raises(SceneError) as caught:
        matrices(file)
    assert str(caught.value).isprintable()


def test_what_is_not_wanted_is_not_even_looked_at(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("points.npy", b"nothing")
        archive.writestr("m.npy", matrix(), zipfile.ZIP_STORED)
    found, others = read_npz(tmp_path / "a.npz", re.compile("m"))
    assert list(found) == ["m"]
    assert others == ["points"]


def test_a_huge_member_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m.npy", npy(header("(4, 4)")) + bytes(2**27))
    import tracemalloc

    tracemalloc.start()
    try:
        matrices(tmp_path / "a.npz")
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()
