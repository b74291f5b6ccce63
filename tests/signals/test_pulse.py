"""Pulse methods against their published formulas, written out by hand, and on made-up skin."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.signal import csd

from unmask.signals import pulse
from unmask.signals.pulse import GRID, REGIONS, analyse, chrom, green, ica, pos, region_colours, track_rate


def skin(beats=75.0, seconds=30.0, *, amplitude=0.01, noise=0.0, grey=0.0, seed=0, rate=30.0):
    """(N,) times and (N, 4, 3) colours: a pulse in the proportions of blood, noise, and grey flicker."""
    random = np.random.default_rng(seed)
    times = np.arange(round(seconds * rate)) / rate
    wave = amplitude * np.sin(2 * np.pi * beats / 60 * times)
    beat = 1 + wave[:, None, None] * np.array([0.33, 0.77, 0.53]) / 0.77
    light = 1 + grey * np.sin(2 * np.pi * 1.9 * times)[:, None, None]
    base = np.array([[180.0, 130, 110], [170, 125, 105], [175, 120, 100], [160, 110, 95]])
    colours = base * beat * light + random.normal(0, noise, (len(times), 4, 3))
    return times, colours


def test_one_window_of_pos_is_the_published_algorithm():
    """Algorithm 1 of Wang et al. 2017 for a signal as long as its window, step by step."""
    length = round(1.6 * GRID)
    colours = np.random.default_rng(1).uniform(90, 110, (length, 3))
    normal = colours / colours.mean(axis=0)
    s = np.array([[0, 1, -1], [-2, 1, 1]]) @ normal.T
    h = s[0] + s[0].std() / s[1].std() * s[1]
    assert pos(colours) == pytest.approx(h - h.mean())


def test_pos_adds_up_its_windows():
    length = round(1.6 * GRID)
    colours = np.random.default_rng(2).uniform(90, 110, (length + 7, 3))
    total = np.zeros(length + 7)
    for first in range(8):
        total[first : first + length] += pos(colours[first : first + length])
    assert pos(colours) == pytest.approx(total)


def test_pos_sees_regions_each_by_itself():
    colours = np.random.default_rng(3).uniform(90, 110, (100, 4, 3))
    together = pos(colours)
    assert together.shape == (100, 4)
    assert together[:, 2] == pytest.approx(pos(colours[:, 2]))


def test_chrom_is_the_published_combination():
    """In the middle, where two half overlapping windows cover it: X - alpha Y, each limited to the band."""
    from scipy.signal import butter, sosfiltfilt

    length = 2 * round(1.6 * GRID / 2)
    colours = np.random.default_rng(4).uniform(90, 110, (2 * length, 3))
    sections = butter(3, (0.7, 2.5), "bandpass", fs=GRID, output="sos")
    total = np.zeros(2 * length)
    for first in range(0, length + 1, length // 2):
        window = colours[first : first + length]
        red, green_, blue = (window / window.mean(axis=0)).T
        x, y = (
            sosfiltfilt(sections, wave, padlen=length - 1)
            for wave in (3 * red - 2 * green_, 1.5 * red + green_ - 1.5 * blue)
        )
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
        total[first : first + length] += (x - x.std() / y.std() * y) * hann
    assert chrom(colours)[: length + length // 2] == pytest.approx(total[: length + length // 2])


def test_a_change_of_light_alone_leaves_pos_and_chrom_silent():
    """Both project onto planes in which a common factor of all colours vanishes."""
    _, colours = skin(amplitude=0.0, grey=0.02)
    _, beating = skin(amplitude=0.02)
    for method in (pos, chrom):
        assert method(colours[:, 0]).std() < 0.05 * method(beating[:, 0]).std()
    assert green(colours).std() > 0.5 * green(beating).std()


@pytest.mark.parametrize("beats", [50, 75, 110, 140])
@pytest.mark.parametrize("rate", [20, 25, 30, 60])
def test_the_rate_of_made_up_skin_is_found_whatever_the_frame_rate(beats, rate):
    times, colours = skin(beats, rate=rate, noise=0.1)
    found = analyse(times, colours, None)
    assert found.rate == pytest.approx(beats, abs=0.5)
    assert found.coherence > 0.9
    assert max(abs(r - beats) for r in found.method_rates.values()) < 1
    assert list(found.region_rates) == list(REGIONS)
    assert found.control_coherence is None


def test_uneven_frames_do_not_matter():
    times, colours = skin(80, rate=60)
    kept = np.sort(np.random.default_rng(0).choice(len(times), len(times) // 2, replace=False))
    assert analyse(times[kept], colours[kept], None).rate == pytest.approx(80, abs=0.5)


def test_regions_that_beat_each_for_itself_are_not_in_step():
    times, colours = skin(amplitude=0, noise=0.3)
    for region, beats in enumerate((60, 72, 95, 120)):
        colours[:, region] += skin(beats)[1][:, region] - skin(amplitude=0)[1][:, region]
    assert analyse(times, colours, None).coherence < 0.4


def test_noise_has_no_agreement():
    coherences = [analyse(*skin(amplitude=0, noise=0.3, seed=s), None).coherence for s in range(8)]
    assert max(coherences) < 0.4


def test_surroundings_with_the_same_line_are_noticed():
    times, colours = skin(80, noise=0.1)
    same = analyse(times, colours, skin(80, noise=0.1, seed=1)[1][:, 0])
    other = analyse(times, colours, skin(amplitude=0, noise=0.1, seed=1)[1][:, 0])
    assert same.control_coherence > 0.9
    assert other.control_coherence < 0.8
    assert analyse(times, colours, np.full((len(times), 3), np.nan)).control_coherence is None


def test_independent_components_agree_with_scikit_learn():
    sklearn = pytest.importorskip("sklearn.decomposition")
    times = np.arange(900) / GRID
    sources = np.stack([np.sin(8 * times), np.sign(np.sin(3.1 * times)), ((times * 1.7) % 1) - 0.5], axis=1)
    mixed = 100 + sources @ np.array([[1.0, 0.5, 0.2], [0.3, 1, 0.4], [0.2, 0.6, 1]])
    theirs = sklearn.FastICA(3, random_state=0, whiten="unit-variance").fit_transform(mixed)
    mine = ica(mixed)
    best = max(abs(np.corrcoef(mine, column)[0, 1]) for column in theirs.T)
    assert best > 0.99
    assert abs(np.corrcoef(mine, sources[:, 0])[0, 1]) > 0.97  # the clearest line is the sine


def test_a_rate_that_climbs_is_followed():
    times = np.arange(1200) / GRID
    beats = 60 + times  # from 60 to 100 in 40 s
    wave = np.sin(2 * np.pi * np.cumsum(beats / 60) / GRID)
    course = track_rate(wave + np.random.default_rng(0).normal(0, 0.5, 1200))
    assert course[:, 1] == pytest.approx(60 + course[:, 0], abs=3)
    assert len(track_rate(wave[:100])) == 0


def test_too_short_a_clip_is_refused():
    times, colours = skin(seconds=3.0)
    with pytest.raises(ValueError, match="too short"):
        analyse(times, colours, None)


def square_face():
    """Landmarks of which each region is a square of 20 pixels, the forehead's at (10, 10)."""
    landmarks = np.full((478, 3), 50.0)
    corners = [(0, 0), (20, 0), (20, 20), (0, 20)]
    for place, region in enumerate(REGIONS.values()):
        for index, landmark in enumerate(region):
            landmarks[landmark, :2] = np.add(corners[index % 4], (10 + 25 * place, 10))
    return landmarks


def test_the_colour_of_a_region_is_the_mean_inside_it():
    pixels = np.zeros((60, 120, 3), np.uint8)
    for place, colour in enumerate([(10, 20, 30), (40, 50, 60), (70, 80, 90), (100, 110, 120)]):
        pixels[10:31, 10 + 25 * place : 31 + 25 * place] = colour
    means = region_colours(pixels, square_face())
    assert means.shape == (5, 3)
    assert means[:4] == pytest.approx(np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90], [100, 110, 120.0]]))


def test_a_region_outside_the_picture_is_unknown():
    landmarks = square_face()
    landmarks[:, 0] -= 500
    assert np.isnan(region_colours(np.zeros((60, 120, 3), np.uint8), landmarks)).all()


def test_the_surroundings_leave_out_faces_and_what_is_below_them():
    pixels = np.full((200, 200, 3), 10, np.uint8)
    pixels[60:, 60:141] = 250  # the face at 75..125 and its neck
    assert pulse.surroundings_colour(pixels, np.array([[75, 75, 50, 50]])) == pytest.approx([10, 10, 10])
    assert np.isnan(pulse.surroundings_colour(pixels, np.array([[0, 0, 200, 200]]))).all()


def test_flickering_light_is_noticed_in_the_surroundings():
    times, flickering = skin(amplitude=0, grey=0.01, noise=0.02)
    _, other = skin(amplitude=0, grey=0.01, noise=0.02, seed=1)
    # a camera that renders red too weakly: the flicker is no longer grey and passes for a pulse
    coloured = flickering + (flickering - flickering.mean(axis=0)) * np.array([-0.5, 0, 0])
    found = analyse(times, coloured, other[:, 0])
    assert found.rate == pytest.approx(114, abs=1)
    assert found.control_coherence > 0.9


def test_the_shared_spectrum_is_the_mean_cross_spectrum_of_pairs():
    rng = np.random.default_rng(4)
    signals = rng.normal(size=(900, 4))
    frequencies, power = pulse.shared_spectrum(signals)
    points = 2 * (len(frequencies) - 1)
    options = {"nperseg": 300, "noverlap": 150, "nfft": points, "detrend": "constant"}
    pairs = [csd(signals[:, i], signals[:, j], GRID, **options)[1].real for i, j in combinations(range(4), 2)]
    expected = np.maximum(np.mean(pairs, axis=0), 0) * frequencies**pulse.TILT
    np.testing.assert_allclose(power, expected, atol=1e-9)


def test_what_beats_in_step_stays_and_what_beats_against_it_goes():
    times = np.arange(900) / GRID
    beat = np.sin(2 * np.pi * 1.5 * times)
    against = np.sin(2 * np.pi * 2.5 * times)
    frequencies, power = pulse.shared_spectrum(np.stack([beat + against, beat - against], axis=1))
    at, other = (int(np.abs(frequencies - f).argmin()) for f in (1.5, 2.5))
    assert frequencies[power.argmax()] == pytest.approx(1.5, abs=0.02)
    assert power[other] < 1e-6 * power[at]
    # One alone shows both lines.
    _, alone = pulse.shared_spectrum((beat + against)[:, None])
    assert alone[other] == pytest.approx(alone[at] * (2.5 / 1.5) ** pulse.TILT, rel=0.05)
