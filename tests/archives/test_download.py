"""Downloads against an archive on this machine that cuts, stalls, lies and refuses."""

import _thread
import hashlib
import io
import json
import os
import socket
import tarfile
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from _archive_server import ArchiveServer
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

import starnet
from starnet.archives._http import CHUNK, _seconds
from starnet.archives._sums import parse_sums
from starnet.archives._unpack import unpack
from starnet.archives.download import THREAD, download, fetch_miles
from starnet.archives.items import Item, apogee_items, catalogue_items, sdss_items, sums_names
from starnet.errors import ConfigError, DownloadError, OutputError

BODY = np.random.default_rng(5).bytes(100_000)
FAST = {"progress": False, "timeout": 5.0, "backoff": 0.01, "retries": 2}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server():
    with ArchiveServer() as running:
        running.files["/a/x.fits"] = BODY
        yield running


def item(name: str = "x.fits", sums: bool = False) -> Item:
    return Item(name, name, (f"a/{name}",), sums=sums)


def fetch(server, folder, items=None, **options):
    return download(items or [item()], folder, base_url=server.url, **(FAST | options))


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if ".part" in path.name)


# --- one file ----------------------------------------------------------------------------------


def test_whole_file_arrives_once(server, tmp_path):
    report = fetch(server, tmp_path)
    assert (tmp_path / "x.fits").read_bytes() == BODY
    assert [o.verified for o in report.downloaded] == ["size"]
    assert leftovers(tmp_path) == []
    assert server.agents == {f"starnet/{starnet.__version__} (Python urllib)"}
    again = fetch(server, tmp_path)
    assert len(again.skipped) == 1
    assert len(server.seen) == 1


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("validators", [True, False])
def test_cut_connection_is_continued(server, tmp_path, ranges, validators):
    server.ranges, server.validators = ranges, validators
    server.faults["/a/x.fits"] = [("cut", 40_000)]
    report = fetch(server, tmp_path)
    assert not report.failed
    assert (tmp_path / "x.fits").read_bytes() == BODY
    # Without a version of the file nobody can tell whether the rest belongs to the part.
    assert server.asked("/a/x.fits") == ["", "bytes=40000-" if validators else ""]


def test_continues_in_a_later_call(server, tmp_path):
    server.faults["/a/x.fits"] = [("cut", 30_000)] * 3
    assert len(fetch(server, tmp_path, retries=0).failed) == 1
    assert not (tmp_path / "x.fits").exists()
    assert leftovers(tmp_path) == ["x.fits.part", "x.fits.part.json"]
    assert not fetch(server, tmp_path).failed
    assert (tmp_path / "x.fits").read_bytes() == BODY
    assert server.asked("/a/x.fits")[1] == "bytes=30000-"


def test_changed_file_starts_anew(server, tmp_path):
    server.faults["/a/x.fits"] = [("cut", 30_000)]
    fetch(server, tmp_path, retries=0)
    server.files["/a/x.fits"], server.version = BODY[::-1], 2
    assert not fetch(server, tmp_path).failed
    assert (tmp_path / "x.fits").read_bytes() == BODY[::-1]


def test_wrong_place_starts_anew(server, tmp_path):
    server.faults["/a/x.fits"] = [("cut", 30_000), ("shift", 0)]
    assert not fetch(server, tmp_path).failed
    assert (tmp_path / "x.fits").read_bytes() == BODY
    assert server.asked("/a/x.fits") == ["", "bytes=30000-", ""]


ELSEWHERE = {"url": "http://elsewhere", "version": '"/a/x.fits-1"', "size": len(BODY)}


@pytest.mark.parametrize("note", ["", "{", "[]", "{}", json.dumps(ELSEWHERE)])
def test_part_without_a_sound_note_is_not_trusted(server, tmp_path, note):
    (tmp_path / "x.fits.part").write_bytes(b"rubbish")
    (tmp_path / "x.fits.part.json").write_text(note)
    assert not fetch(server, tmp_path).failed
    assert (tmp_path / "x.fits").read_bytes() == BODY


@settings(max_examples=15, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 60_000), max_size=6),
    ranges=st.booleans(),
    per_call=st.integers(0, 2),
    change=st.integers(0, 6),
)
def test_any_interruptions_end_in_the_same_file(cuts, ranges, per_call, change):
    """However often the line breaks, and even if the file changes once, the end is the file."""
    with tempfile.TemporaryDirectory() as name, ArchiveServer() as server:
        server.files["/a/x.fits"], server.ranges = BODY, ranges
        server.faults["/a/x.fits"] = [("cut", cut) for cut in cuts]
        folder, body = Path(name), BODY
        for call in range(len(cuts) + 1):
            if call == change:
                server.files["/a/x.fits"], server.version = body, 2
                body = BODY[::-1]
                server.files["/a/x.fits"] = body
            report = fetch(server, folder, retries=per_call, backoff=0.0)
            if not report.failed:
                break
            assert not (folder / "x.fits").exists()
        assert (folder / "x.fits").read_bytes() == server.files["/a/x.fits"]
        assert leftovers(folder) == []


def test_large_file_over_a_bad_line_needs_no_more_retries(server, tmp_path):
    body = BODY * 20
    server.files["/a/x.fits"] = body
    server.faults["/a/x.fits"] = [("cut", CHUNK + 1)] * 6
    assert not fetch(server, tmp_path, retries=1).failed
    assert (tmp_path / "x.fits").read_bytes() == body


def test_length_unknown(server, tmp_path):
    server.lengths = False
    report = fetch(server, tmp_path)
    assert (tmp_path / "x.fits").read_bytes() == BODY
    assert [o.verified for o in report.downloaded] == [""]


# --- refusals and waits ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ([("code", 404)], "no such file (HTTP 404)"),
        ([("code", 403)], "does not allow it (HTTP 403)"),
        ([("code", 418)], "HTTP 418"),
        ([("page", 0)], "web page"),
        ([("code", 503)] * 3, "busy or faulty (HTTP 503)"),
        ([("cut", 10)] * 3, "10 of 100000 bytes"),
        ([("stall", 0)] * 3, "timeout"),
    ],
)
def test_failure_is_a_sentence_and_stops_nothing(server, tmp_path, faults, words):
    server.validators = False
    server.files["/a/y.fits"] = b"y"
    server.faults["/a/x.fits"] = faults
    report = fetch(server, tmp_path, [item(), item("y.fits")], timeout=0.2)
    (failed,) = report.failed
    assert words in failed.reason
    assert f"{server.url}/a/x.fits" in failed.reason
    assert (tmp_path / "y.fits").read_bytes() == b"y"
    assert not (tmp_path / "x.fits").exists()
    with pytest.raises(DownloadError, match=r"1 downloaded .* 1 failed"):
        report.raise_for_failed()
    assert np.asarray(report.to_table()["status"]).tolist() == ["failed", "downloaded"]


def test_busy_archive_is_waited_for(server, tmp_path):
    server.retry_after = "0.3"
    server.faults["/a/x.fits"] = [("code", 429)]
    start = time.monotonic()
    assert not fetch(server, tmp_path).failed
    assert time.monotonic() - start >= 0.3


def test_too_long_a_wait_is_a_failure(server, tmp_path):
    server.retry_after = "3600"
    server.faults["/a/x.fits"] = [("code", 429)]
    start = time.monotonic()
    assert len(fetch(server, tmp_path).failed) == 1
    assert time.monotonic() - start < 3


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("-3", 0.0), (None, None), ("soon", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)],
)
def test_retry_after(header, seconds):
    assert _seconds(header) == seconds


def test_other_location_is_tried(server, tmp_path):
    both = Item("x", "x.fits", ("elsewhere/x.fits", "a/x.fits"), sums=False)
    assert not fetch(server, tmp_path, [both]).failed
    assert (tmp_path / "x.fits").read_bytes() == BODY


def test_nobody_there_is_said_once_and_soon(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{free.getsockname()[1]}"
    many = [item(f"{i}.fits", sums=True) for i in range(200)]
    start = time.monotonic()
    report = download(many, tmp_path, base_url=base, **FAST)
    assert time.monotonic() - start < 5
    assert len(report.failed) == 200
    assert f"Fetch {base}/a/0.fits by hand and put it at {tmp_path / '0.fits'}." in str(report)
    assert report.failed[-1].reason.startswith("Not tried")
    assert "and 190 more" in str(report)


# --- checksums ---------------------------------------------------------------------------------


def sums_of(files: dict[str, bytes]) -> bytes:
    lines = [f"{hashlib.sha1(body).hexdigest()}  {name}\n" for name, body in files.items()]
    return "".join(lines).encode()


@pytest.mark.parametrize("place", ["guessed", "listed"])
def test_checksum_is_verified(server, tmp_path, place):
    if place == "guessed":
        server.files["/a/a.sha1sum"] = server.files["/a/_a.sha1sum"] = sums_of({"x.fits": BODY})
    else:
        server.files["/a/"] = b'<a href="x.fits">x</a> <A HREF="/a/odd.sha1sum">sums</a>'
        server.files["/a/odd.sha1sum"] = sums_of({"x.fits": BODY})
    server.faults["/a/x.fits"] = [("wrong", 0)]
    report = fetch(server, tmp_path, [item(sums=True)])
    assert [o.verified for o in report.downloaded] == ["sha1"]
    assert (tmp_path / "x.fits").read_bytes() == BODY
    assert server.asked("/a/x.fits") == ["", ""]


def test_wrong_bytes_are_never_kept(server, tmp_path):
    server.files["/a/_a.sha1sum"] = sums_of({"x.fits": BODY})
    server.faults["/a/x.fits"] = [("wrong", 0)] * 3
    (failed,) = fetch(server, tmp_path, [item(sums=True)]).failed
    assert "checksum differs" in failed.reason
    assert list(tmp_path.iterdir()) == []


def test_sums_are_asked_for_once_per_directory(server, tmp_path):
    names = [f"{i}.fits" for i in range(12)]
    server.files |= {f"/a/{name}": name.encode() for name in names}
    server.files["/a/_a.sha1sum"] = sums_of({name: name.encode() for name in names})
    report = fetch(server, tmp_path, [item(name, sums=True) for name in names], workers=8)
    assert {o.verified for o in report.downloaded} == {"sha1"}
    assert len(server.asked("/a/_a.sha1sum")) == 1


@pytest.mark.parametrize("sums", [True, False])
def test_recheck_replaces_what_differs(server, tmp_path, sums):
    server.files["/a/y.fits"] = b"yes"
    if sums:
        server.files["/a/_a.sha1sum"] = sums_of({"x.fits": BODY, "y.fits": b"yes"})
    (tmp_path / "x.fits").write_bytes(BODY[:-1])
    (tmp_path / "y.fits").write_bytes(b"yes")
    items = [item(sums=True), item("y.fits", sums=True)]
    assert len(fetch(server, tmp_path, items).skipped) == 2
    report = fetch(server, tmp_path, items, recheck=True)
    assert [o.status for o in report.outcomes] == ["downloaded", "skipped"]
    assert (tmp_path / "x.fits").read_bytes() == BODY


def test_parse_sums():
    a, b = "0" * 40, "AB" * 20
    text = f"{a}  x.fits\r\n{b} *sub/y z.fits\n# remark\nshort  w.fits\n"
    assert parse_sums(text) == {"x.fits": a, "y z.fits": b.lower()}


# --- the user's machine ------------------------------------------------------------------------


def test_ctrl_c_leaves_parts_that_continue(server, tmp_path):
    server.faults["/a/x.fits"] = [("stall", 50_000)]

    def interrupt() -> None:
        server.stalled.wait(10)
        part = tmp_path / "x.fits.part"
        while not part.exists() or part.stat().st_size < 40_000:
            time.sleep(0.01)
        _thread.interrupt_main()

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        fetch(server, tmp_path)
    server.released.set()
    assert not (tmp_path / "x.fits").exists()
    deadline = time.monotonic() + 5  # the thread that waited for bytes notices now
    while any(t.name.startswith(THREAD) for t in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert leftovers(tmp_path) == ["x.fits.part", "x.fits.part.json"]
    assert not fetch(server, tmp_path).failed
    assert (tmp_path / "x.fits").read_bytes() == BODY
    assert server.asked("/a/x.fits")[1].startswith("bytes=")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_full_disk_is_one_sentence(server, tmp_path):
    (tmp_path / "x.fits.part").symlink_to("/dev/full")
    with pytest.raises(OutputError, match=r"disk is full; free some space .* run the same"):
        fetch(server, tmp_path, [item(), *(item(f"{i}.fits") for i in range(5))])
    assert not (tmp_path / "x.fits").exists()


def test_unwritable_folder(server, tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OutputError, match="choose a folder that can be written"):
        fetch(server, tmp_path / "taken")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions bind users only")
def test_read_only_folder(server, tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        fetch(server, folder)


@pytest.mark.parametrize(
    ("items", "options", "words"),
    [
        (["ftp://host/x.fits"], {}, "http:// or https://"),
        (["file:///etc/passwd"], {}, "http:// or https://"),
        ([item()], {"base_url": "data/"}, "http:// or https://"),
        ([item()], {"workers": 0}, "workers must be 1 to 16; received 0"),
        ([item()], {"workers": 99}, "workers must be 1 to 16; received 99"),
    ],
)
def test_bad_arguments(tmp_path, items, options, words):
    with pytest.raises(ConfigError, match=words):
        download(items, tmp_path, **options)


@pytest.mark.parametrize("path", ["../x.fits", "/x.fits", "a/../../x.fits", ""])
def test_items_stay_inside_the_folder(path):
    with pytest.raises(ConfigError, match="inside its folder"):
        Item("x", path, ("x",))


def test_plain_addresses_and_doubles(server, tmp_path):
    server.files["/b/x.fits"] = b"other"
    urls = [f"{server.url}/a/x.fits", f"{server.url}/a/x.fits", f"{server.url}/b/x.fits"]
    report = download(urls, tmp_path, **FAST)
    assert (tmp_path / "x.fits").read_bytes() == BODY
    assert [o.status for o in report.outcomes] == ["downloaded", "failed"]
    assert "already the file of" in report.failed[0].reason


def test_nothing_to_do(tmp_path):
    assert str(download([], tmp_path)).startswith("0 downloaded (0.0 MB), 0 there")


def test_progress_is_shown(server, tmp_path, capsys):
    fetch(server, tmp_path, progress=True)
    assert "1 of 1 files" in capsys.readouterr().out


# --- addresses ---------------------------------------------------------------------------------

SAS = "https://data.sdss.org/sas/"
STAR = {"apogee_id": ["2M03174068-7748459"], "telescope": ["lco25m"], "field": ["293-37-C"]}
NORTH = {"apogee_id": ["2M00005414+5522241"], "telescope": ["apo25m"], "field": ["N7789"]}
VISIT = {"plate": ["11992"], "mjd": ["59187"], "fiber": ["27"]}


@pytest.mark.parametrize(
    ("columns", "product", "release", "path"),
    [
        (STAR, "apStar", "dr17", "redux/dr17/stars/lco25m/293-37-C/asStar-dr17-"),
        (STAR, "asStar", "dr17", "redux/dr17/stars/lco25m/293-37-C/asStar-dr17-"),
        (NORTH, "apStar", "dr16", "redux/r12/stars/apo25m/N7789/apStar-r12-"),
        (STAR, "aspcapStar", "dr17", "aspcap/dr17/synspec_rev1/lco25m/293-37-C/aspcapStar-dr17-"),
        (NORTH, "aspcapStar", "dr16", "aspcap/r12/l33/apo25m/N7789/aspcapStar-r12-"),
    ],
)
def test_apogee_addresses(columns, product, release, path):
    (made,) = apogee_items(Table(columns), product, release)
    expected = f"{SAS}{release}/apogee/spectro/{path}{columns['apogee_id'][0]}.fits"
    assert made.urls() == (expected,)
    assert made.path.startswith(f"{columns['telescope'][0]}/{columns['field'][0]}/")


def test_visit_address():
    """The address that specutils' remote test uses (its fiber is 227)."""
    (made,) = apogee_items(Table(STAR | VISIT | {"fiber": [227]}), "apVisit")
    folder = "dr17/apogee/spectro/redux/dr17/visit/lco25m/293-37-C/11992/59187"
    assert made.urls() == (f"{SAS}{folder}/asVisit-dr17-11992-59187-227.fits",)
    (made,) = apogee_items(Table(STAR | VISIT), "apVisit")
    assert made.urls()[0].endswith("-59187-027.fits")


@pytest.mark.parametrize(
    ("product", "release", "path"),
    [
        ("allStar", "dr17", "dr17/synspec_rev1/allStar-dr17-synspec_rev1.fits"),
        ("allVisit", "dr17", "dr17/synspec_rev1/allVisit-dr17-synspec_rev1.fits"),
        ("allStar", "dr16", "r12/l33/allStar-r12-l33.fits"),
    ],
)
def test_catalogue_addresses(product, release, path):
    (made,) = catalogue_items(product, release)
    assert made.urls() == (f"{SAS}{release}/apogee/spectro/aspcap/{path}",)


@pytest.mark.parametrize(
    ("spec", "kind", "release", "run2d", "paths"),
    [
        ("266-51602-31", "lite", "dr17", "26", ["sdss/spectro/redux/26/spectra/lite/0266"]),
        ("3128-54776-8", "full", "dr17", "104", ["sdss/spectro/redux/104/spectra/3128"]),
        ("3586-55181-16", "full", "dr17", None, ["eboss/spectro/redux/v5_13_2/spectra/full/3586"]),
        ("3586-55181-16", "lite", "dr18", None, ["spectro/sdss/redux/v5_13_2/spectra/lite/3586"]),
        ("10000-57346-1", "lite", "dr17", None, ["eboss/spectro/redux/v5_13_2/spectra/lite/10000"]),
        (
            "3128-54776-8",
            "lite",
            "dr18",
            None,
            [f"spectro/sdss/redux/{run}/spectra/lite/3128" for run in ("26", "104", "103")],
        ),
    ],
)
def test_optical_addresses(spec, kind, release, run2d, paths):
    (made,) = sdss_items([spec], kind, release, run2d=run2d)
    plate, mjd, fiber = spec.split("-")
    file = f"spec-{int(plate):04d}-{mjd}-{int(fiber):04d}.fits"
    assert made.urls() == tuple(f"{SAS}{release}/{path}/{file}" for path in paths)


def test_addresses_on_a_mirror_are_quoted():
    made = Item("x", "x.fits", ("a/N 188+1/x.fits", "https://elsewhere.org/b/x.fits"))
    assert made.urls("http://mirror/sas/") == (
        "http://mirror/sas/a/N%20188+1/x.fits",
        "http://mirror/sas/b/x.fits",
    )


def test_sums_names():
    names = sums_names(f"{SAS}dr17/apogee/spectro/aspcap/dr17/synspec_rev1/apo25m/M53/x.fits")
    assert names == (
        "dr17_synspec_rev1_apo25m_M53.sha1sum",
        "dr17_synspec_apo25m_M53.sha1sum",
    )


# --- id lists ----------------------------------------------------------------------------------


@pytest.fixture
def all_star(tmp_path) -> Path:
    """A small allStar: the first star in two fields, text padded as in FITS."""
    path = tmp_path / "allStar-dr17-synspec_rev1.fits"
    Table(
        {
            "APOGEE_ID": ["2M0001", "2M0001", "2M0002", "2M0003"],
            "TELESCOPE": ["apo25m", "lco25m", "apo25m", "apo1m "],
            "FIELD": ["060+00", "M12-N  ", "N7789", "hip"],
            "PLATE": [5094, 5095, 5096, 0],
            "MJD": [55874, 55875, 55876, 55877],
            "FIBERID": [3, 4, 5, -1],
        }
    ).write(path)
    return path


def test_stars_are_found_in_the_catalogue(all_star, tmp_path):
    ids = tmp_path / "ids.txt"
    ids.write_text("# my stars\n2M0001\n\n2M9999  # not there\n2M0002\n2M0001\n")
    made = apogee_items(ids, catalogue=all_star)
    assert [(m.name, m.path) for m in made] == [
        ("2M0001", "apo25m/060+00/apStar-dr17-2M0001.fits"),
        ("2M0001", "lco25m/M12-N/asStar-dr17-2M0001.fits"),
        ("2M9999", "2M9999"),
        ("2M0002", "apo25m/N7789/apStar-dr17-2M0002.fits"),
    ]
    report = download([made[2]], tmp_path, **FAST)
    assert "2M9999 is not in allStar-dr17-synspec_rev1.fits" in report.failed[0].reason


def test_columns_of_the_list_restrict_the_catalogue(all_star):
    ids = Table({"APOGEE_ID": ["2M0001"], "TELESCOPE": ["lco25m"]})
    (made,) = apogee_items(ids, catalogue=all_star)
    assert made.path == "lco25m/M12-N/asStar-dr17-2M0001.fits"


def test_visits_come_from_all_visit(all_star):
    made = apogee_items(["2M0002", "2M0003"], "apVisit", catalogue=all_star)
    assert [m.path.rsplit("/", 1)[1] for m in made] == [
        "apVisit-dr17-5096-55876-005.fits",
        "apVisit-dr17-55877-2M0003.fits",
    ]


def test_tables_keep_their_text(tmp_path):
    csv, fits = tmp_path / "ids.csv", tmp_path / "ids.fits"
    csv.write_text("id, Telescope, FIELD, teff\n2M0001, apo25m, 0060, 5000\n")
    Table({"id": ["2M0001"], "Telescope": ["apo25m"], "FIELD": ["0060"]}).write(fits)
    assert apogee_items(csv) == apogee_items(fits)
    assert apogee_items(csv)[0].path == "apo25m/0060/apStar-dr17-2M0001.fits"


def test_spectra_by_table_and_by_name(tmp_path):
    csv = tmp_path / "spec.csv"
    csv.write_text("PLATE,MJD,FIBERID,RUN2D\n3128,54776,8,104\n266,51602,31,26\n")
    names = ["spec-3128-54776-0008.fits", "0266-51602-0031"]
    by_table = sdss_items(csv)
    assert [m.path for m in by_table] == [m.path for m in sdss_items(names)]
    assert [len(m.locations) for m in by_table] == [1, 1]


@pytest.mark.parametrize("star", ["../../etc", "a/b", ".hidden", "", "2M\n1"])
def test_ids_cannot_leave_the_folder(star):
    made = apogee_items(Table({"apogee_id": [star], "telescope": ["apo25m"], "field": ["x"]}))
    assert "cannot be part of a file name" in made[0].problem


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: apogee_items(["2M1"]), "needs field, telescope"),
        (lambda: apogee_items(["2M1"], "apVisit"), "allVisit file as catalogue"),
        (lambda: apogee_items(["2M1"], release="dr3"), "dr16, dr17; received 'dr3'"),
        (lambda: apogee_items(["2M1"], "spec"), "apStar, aspcapStar, apVisit; received 'spec'"),
        (lambda: apogee_items([]), "holds no ids"),
        (lambda: apogee_items("nowhere.txt"), "nowhere.txt cannot be read"),
        (lambda: apogee_items("nowhere.fits"), "nowhere.fits cannot be read"),
        (lambda: apogee_items(["2M1"], catalogue="nowhere.fits"), "APOGEE summary file"),
        (lambda: apogee_items(Table({"name": ["x"]})), "apogee_id; it has name"),
        (lambda: sdss_items(["2M1"]), "named plate-mjd-fiber"),
        (lambda: sdss_items([]), "holds no ids"),
        (lambda: sdss_items(["1-55555-1"], "small"), "lite, full; received 'small'"),
        (lambda: sdss_items(["1-55555-1"], run2d="27"), "26, 103, 104, v5_13_2; received '27'"),
        (lambda: sdss_items(Table({"plate": [1]})), "mjd, fiber; it has plate"),
        (lambda: catalogue_items("allSky"), "allStar or allVisit"),
    ],
)
def test_bad_id_lists(call, words):
    with pytest.raises(ConfigError, match=words):
        call()


@pytest.mark.parametrize("spec", ["a-55555-1", "1-5-1", "1-55555-9999999"])
def test_bad_spectrum_is_a_failed_row(spec):
    (made,) = sdss_items([spec])
    assert "plate-mjd-fiber" in made.problem


# --- MILES -------------------------------------------------------------------------------------


def tar_of(files: dict[str, bytes], **attributes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, body in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            for key, value in attributes.items():
                setattr(member, key, value)
            tar.addfile(member, io.BytesIO(body))
    return out.getvalue()


TREE = "/media/tarfiles/Stellar_Libraries/"


def test_miles(server, tmp_path):
    spectra = {f"MILES_library_v9.1_FITS/s000{i}.fits": bytes([i]) * 2880 for i in range(3)}
    server.files[TREE + "MILES_library_v9.1.tar.gz"] = tar_of(spectra)
    server.files[TREE + "paramsMILES_v9.1.txt"] = b"Name"
    server.faults[TREE + "MILES_library_v9.1.tar.gz"] = [("cut", 60)]
    folder = tmp_path / "miles"
    assert fetch_miles(folder, base_url=server.url, **FAST) == folder / "MILES_library_v9.1"
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()) == [
        "MILES_library_v9.1/paramsMILES_v9.1.txt",
        "MILES_library_v9.1/s0000.fits",
        "MILES_library_v9.1/s0001.fits",
        "MILES_library_v9.1/s0002.fits",
    ]
    asked = len(server.seen)
    fetch_miles(folder, base_url=server.url, **FAST)
    assert len(server.seen) == asked


def test_miles_by_hand(server, tmp_path):
    with pytest.raises(DownloadError) as caught:
        fetch_miles(tmp_path / "miles", base_url=server.url, **FAST)
    message = str(caught.value)
    assert "https://research.iac.es/" in message
    assert "paramsMILES_v9.1.txt" in message
    assert f"unpack the spectra of the first into {tmp_path / 'miles'}" in message
    assert f"make demo DATA={tmp_path / 'miles'}" in message
    assert "The archive has no such file (HTTP 404). To do it by hand" in message


@pytest.mark.parametrize(
    "body",
    [
        b"not a tar",
        tar_of({"a/s0001.fits": BODY})[:-20_000],
        tar_of({}),
        tar_of({"../evil.fits": b"x"}),
        tar_of({"link": b""}, type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    ],
    ids=["foreign", "truncated", "empty", "outside", "link"],
)
def test_bad_miles_archive_leaves_nothing(server, tmp_path, body):
    server.files[TREE + "MILES_library_v9.1.tar.gz"] = body
    server.files[TREE + "paramsMILES_v9.1.txt"] = b"Name"
    folder = tmp_path / "miles"
    with pytest.raises(DownloadError, match="make demo DATA="):
        fetch_miles(folder, base_url=server.url, **FAST)
    assert [path.name for path in folder.iterdir()] == ["paramsMILES_v9.1.txt"]
    assert not (tmp_path / "evil.fits").exists()


def test_absolute_names_stay_inside(tmp_path):
    (tmp_path / "x.tar.gz").write_bytes(tar_of({"/a/s0001.fits": b"x", "/b/s0002.fits": b"y"}))
    unpack(tmp_path / "x.tar.gz", tmp_path / "out")
    assert (tmp_path / "out/a/s0001.fits").read_bytes() == b"x"
