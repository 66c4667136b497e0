"""Images: which film stands for a stay, and decoding."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from release_files import film, hours, image_rows, stays, write_films

from picme.cohort.decode import decode_images
from picme.cohort.images import ImageTable
from picme.config.notes import ImagesConfig
from picme.errors import DataError

CONFIG = ImagesConfig()


def stems(result) -> list[str | None]:
    return [None if path is None else path.stem for path in result.rows.paths]


def test_the_last_film_of_the_view_before_the_cut_off(tmp_path):
    rows = [
        film(-1, dicom_id="before_admission"),
        film(5, dicom_id="early"),
        film(20, dicom_id="last"),
        film(30, view="PA", dicom_id="other_view"),
        film(51, dicom_id="late"),
        film(5, subject=2, dicom_id="of_two", view=" ap "),
    ]
    write_films(tmp_path, rows)
    result = image_rows(tmp_path, stays(3), CONFIG)
    assert stems(result) == ["last", "of_two", None]
    assert result.latest.to_list() == [hours(20), hours(5), None]
    assert result.audit.row(0, named=True)["count"] == 0 and not result.audit["violation"].any()
    assert stems(image_rows(tmp_path, stays(1), ImagesConfig(views=("AP", "PA")))) == ["other_view"]
    assert stems(image_rows(tmp_path, stays(1), ImagesConfig(which="first"))) == ["early"]
    assert stems(image_rows(tmp_path, stays(3).reverse(), CONFIG)) == [None, "of_two", "last"]


def test_a_missing_file_is_counted_and_the_next_film_is_used(tmp_path):
    write_films(tmp_path, [film(5, dicom_id="there"), film(20, dicom_id="gone")])
    next(tmp_path.rglob("gone.jpg")).unlink()
    result = image_rows(tmp_path, stays(1), CONFIG)
    assert stems(result) == ["there"]
    assert dict(result.quarantine.iter_rows()) == {"image file is missing": 1}


def test_the_view_is_read_from_words_and_films_left_out_by_it_are_counted(tmp_path):
    views = ["AP (portable)", "ap_upright", "PA", "AP LLD", "APICAL", "LATERAL", None, " "]
    rows = [
        {**film(number + 1, view=str(view), dicom_id=f"at{number}"), "ViewPosition": view}
        for number, view in enumerate(views)
    ]
    write_films(tmp_path, rows)
    result = image_rows(tmp_path, stays(1), CONFIG)
    assert stems(result) == ["at1"] and [path.stem for path in result.rows.others[0]] == ["at0"]
    assert dict(result.quarantine.iter_rows()) == {"view not given": 2, "view not in cohort.images.views": 4}
    assert stems(image_rows(tmp_path, stays(1), ImagesConfig(views=("AP LLD",)))) == ["at3"]


def test_films_of_no_patient_are_counted_and_not_all_may_be(tmp_path):
    write_films(tmp_path, [film(1), film(1, subject=2), film(1, subject=3)])
    cohort, patients = stays(1), stays(2)["subject_id"]
    result = ImageTable(tmp_path, cohort["subject_id"], patients).rows(cohort, CONFIG)
    assert dict(result.quarantine.iter_rows()) == {"subject_id of no patient": 1}
    with pytest.raises(DataError, match=r"metadata\.csv\.gz: column 'subject_id': none of 3 rows is of a patient"):
        ImageTable(tmp_path, cohort["subject_id"], patients + 10)


def test_earlier_films_stand_by_for_a_damaged_one(tmp_path):
    write_films(tmp_path, [film(hour, dicom_id=f"at{hour}") for hour in (3, 5, 20, 30)])
    next(tmp_path.rglob("at5.jpg")).unlink()
    result = image_rows(tmp_path, stays(1), CONFIG)
    assert stems(result) == ["at30"]
    assert [path.stem for path in result.rows.others[0]] == ["at20", "at3"]
    assert result.quarantine.is_empty()


def test_a_film_whose_date_cannot_be_read_is_counted(tmp_path):
    write_films(tmp_path, [film(5), film(6, StudyDate="2150/03/01")])
    result = image_rows(tmp_path, stays(1), CONFIG)
    assert dict(result.quarantine.iter_rows()) == {"StudyDate or StudyTime cannot be parsed": 1}


films = st.lists(st.tuples(st.integers(-100, 1000), st.sampled_from([1, 2]), st.sampled_from(["AP", "PA"])), max_size=8)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(films=films, order=st.randoms(use_true_random=False))
def test_never_after_the_cut_off_and_later_films_and_order_change_nothing(tmp_path_factory, films, order):
    folder = tmp_path_factory.mktemp("cxr")
    rows = [
        film(tenth / 10, subject, view, dicom_id=f"{number}", study_id=50_000_000 + number)
        for number, (tenth, subject, view) in enumerate(films)
    ]
    cohort = stays(2)
    write_films(folder, rows)
    result = image_rows(folder, cohort, CONFIG)
    for index, stem in enumerate(stems(result)):
        fits = [
            (tenth, -number)
            for number, (tenth, subject, view) in enumerate(films)
            if subject == index + 1 and view == "AP" and 0 <= tenth <= 500
        ]
        assert stem == (str(-max(fits)[1]) if fits else None)
    assert ((result.latest - cohort["cutoff"]).drop_nulls() <= timedelta(0)).all()
    future = [film(hour, subject, dicom_id=f"future{hour}{subject}") for hour in (50.1, 99) for subject in (1, 2)]
    shuffled = rows + future
    order.shuffle(shuffled)
    write_films(folder, shuffled)
    again = image_rows(folder, cohort, CONFIG)
    assert stems(again) == stems(result) and again.latest.equals(result.latest)


# --- decoding ---------------------------------------------------------------------------------------------------


def pattern(width: int, height: int) -> np.ndarray:
    """A smooth grey image that is different everywhere."""
    y, x = np.mgrid[0:height, 0:width]
    return (127 + 60 * np.sin(9 * x / width) + 50 * np.cos(7 * y / height + x / width)).astype(np.uint8)


def plain(path, size: int) -> np.ndarray:
    """Decode every pixel, resize the shorter side, cut out the centre."""
    grey = Image.open(path).convert("L")
    scale = size / min(grey.size)
    resized = grey.resize((round(grey.width * scale), round(grey.height * scale)), Image.Resampling.LANCZOS)
    left, top = (resized.width - size) // 2, (resized.height - size) // 2
    return np.asarray(resized.crop((left, top, left + size, top + size)))


@pytest.mark.parametrize("shape", [(1001, 1203), (1203, 1001), (640, 480), (100, 90), (64, 64), (40, 200)])
@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_scaled_decoding_equals_decoding_in_full(tmp_path, shape, ending):
    path = tmp_path / f"x{ending}"
    Image.fromarray(pattern(*shape)).save(path, **({"quality": 95} if ending == ".jpg" else {}))
    result = decode_images([path], tmp_path / "out.npy", 64)
    square = np.load(result.images, mmap_mode="r")
    assert square.shape == (1, 64, 64) and square.dtype == np.uint8
    difference = np.abs(square[0].astype(int) - plain(path, 64))
    assert difference.mean() < 0.75 and difference.max() <= 4


def test_the_centre_is_cut_out_and_the_aspect_kept(tmp_path):
    wide = np.zeros((100, 300), np.uint8)
    wide[:, 100:200] = 255  # the central third fills the square
    Image.fromarray(wide).save(tmp_path / "wide.png")
    square = np.load(decode_images([tmp_path / "wide.png"], tmp_path / "o.npy", 50).images)[0]
    assert square[:, 3:-3].min() > 250


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "1", "P", "RGBA", "I;16", "I", "F"])
def test_every_kind_of_pixel_becomes_grey(tmp_path, mode):
    grey = pattern(90, 90)
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode in ("I", "F"):
        image = Image.fromarray(grey.astype(np.int32 if mode == "I" else np.float32) * 100)
    else:
        image = Image.fromarray(grey).convert(mode)
    path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.tif")
    image.save(path)
    square = np.load(decode_images([path], tmp_path / "o.npy", 90).images)[0].astype(float)
    assert np.corrcoef(square.ravel(), grey.ravel().astype(float))[0, 1] > (0.3 if mode == "1" else 0.99)
    if mode in ("L", "RGB", "RGBA", "I;16"):
        assert np.abs(square - grey).max() <= 1


def test_damaged_files_are_counted_with_a_reason_and_leave_zeros(tmp_path):
    good = tmp_path / "good.jpg"
    Image.fromarray(pattern(120, 120)).save(good)
    (tmp_path / "text.jpg").write_text("this is a text file")
    (tmp_path / "cut.jpg").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    (tmp_path / "empty.jpg").write_bytes(b"")
    names = ["good", "text", "cut", "empty", "absent"]
    paths = [tmp_path / f"{name}.jpg" for name in names]
    result = decode_images([None, *paths], tmp_path / "o.npy", 32, workers=2)
    assert result.damaged == {2: "not an image", 3: "truncated", 4: "not an image", 5: "file is missing"}
    assert result.counts() == {"file is missing": 1, "not an image": 2, "truncated": 1}
    assert result.decoded.tolist() == [False, True, False, False, False, False]
    array = np.load(result.images)
    assert array[1].any() and not array[[0, 2, 3, 4, 5]].any()


def test_too_many_damaged_files_are_an_error_without_names(tmp_path):
    Image.fromarray(pattern(50, 50)).save(tmp_path / "10000001.jpg")
    (tmp_path / "10000002.jpg").write_text("text")
    paths = [tmp_path / "10000001.jpg", tmp_path / "10000002.jpg"]
    with pytest.raises(DataError, match="1 of 2 image files") as error:
        decode_images(paths, tmp_path / "o.npy", 32, max_damaged_share=0.4)
    assert "10000002" not in str(error.value)
    assert not list(tmp_path.glob("o.npy*"))
    assert decode_images(paths, tmp_path / "o.npy", 32, max_damaged_share=0.5).decoded.sum() == 1


def test_no_image_at_all(tmp_path):
    assert np.load(decode_images([], tmp_path / "o.npy", 16).images).shape == (0, 16, 16)
    assert not np.load(decode_images([None, None], tmp_path / "p.npy", 16).images).any()


def test_workers_change_nothing(tmp_path):
    paths = []
    for number in range(9):
        paths.append(tmp_path / f"{number}.jpg")
        Image.fromarray(np.roll(pattern(300, 260), 9 * number, 1)).save(paths[-1])
    one = np.load(decode_images(paths, tmp_path / "one.npy", 64, workers=1).images)
    two = np.load(decode_images(paths, tmp_path / "two.npy", 64, workers=3).images)
    assert np.array_equal(one, two) and len({image.tobytes() for image in one}) == 9


def decoded(path, size: int) -> np.ndarray:
    return np.load(decode_images([path], path.with_suffix(".npy"), size).images)[0].astype(float)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "tif"])
def test_pictures_are_turned_upright(tmp_path, orientation, ending):
    """Stored as a camera held that way stores it, every picture looks like the upright one."""
    upright = Image.fromarray(pattern(600, 400))
    stored_by = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the inverse of what turns it upright
    method = stored_by.get(orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"x.{ending}"
    (upright if method is None else upright.transpose(Image.Transpose(method))).save(path, exif=exif)
    upright.save(tmp_path / "upright.png")
    assert np.abs(decoded(path, 64) - decoded(tmp_path / "upright.png", 64)).mean() < 1.5


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_the_bits_that_are_used_become_grey(tmp_path, bits, ending):
    """An image of 12 bits in a container of 16 has as many grey levels as one of 8, a burnt-in letter or not."""
    grey = pattern(300, 200)
    deep = grey.astype(np.uint16) << (bits - 8)
    deep[:3, :3] = 65535
    Image.fromarray(deep).save(tmp_path / f"x.{ending}")
    Image.fromarray(grey).save(tmp_path / "plain.png")
    found, expected = decoded(tmp_path / f"x.{ending}", 100), decoded(tmp_path / "plain.png", 100)
    assert len(np.unique(found)) > 150
    assert np.abs(found - expected)[3:, 3:].max() <= 2


def test_white_is_light_however_it_is_stored(tmp_path):
    grey = pattern(120, 120)
    Image.fromarray(grey).save(tmp_path / "plain.png")
    inverted = 4095 - (grey.astype(np.uint16) << 4)
    Image.fromarray(inverted).save(tmp_path / "deep.tif", tiffinfo={262: 0})
    text = PngInfo()
    text.add_text("PhotometricInterpretation", "MONOCHROME1")
    Image.fromarray(inverted).save(tmp_path / "deep.png", pnginfo=text)
    Image.fromarray(255 - grey).save(tmp_path / "eight.png", pnginfo=text)
    for name in ("deep.tif", "deep.png", "eight.png"):
        assert np.abs(decoded(tmp_path / name, 60) - decoded(tmp_path / "plain.png", 60)).max() <= 2


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"Exif\0\0nonsense and more of it"])
def test_damaged_exif_leaves_the_picture(tmp_path, exif):
    Image.fromarray(pattern(90, 90)).save(tmp_path / "x.png", exif=exif)
    Image.fromarray(pattern(90, 90)).save(tmp_path / "plain.png")
    assert (decoded(tmp_path / "x.png", 64) == decoded(tmp_path / "plain.png", 64)).all()


def test_a_large_burnt_in_letter_leaves_the_grey_levels(tmp_path):
    grey = np.random.default_rng(3).integers(0, 256, (64, 64)).astype(np.uint16)
    deep = grey << 4
    deep[:10, :10] = 65535  # 2.4 % of the pixels
    Image.fromarray(deep).save(tmp_path / "marked.png")
    seen = decoded(tmp_path / "marked.png", 64)
    assert np.abs(seen[10:, 10:] - grey[10:, 10:].astype(float)).max() <= 1
    assert (seen[:10, :10] >= 254).all()
