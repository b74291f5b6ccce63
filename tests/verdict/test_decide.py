"""Labels, probabilities, intervals and reasons, for settings whose curve is the plain sigmoid."""

import math

import pytest
from test_fusion import evidence, sigmoid

from unmask.verdict.decide import NO_FACE, decide
from unmask.verdict.settings import Level, TailPoints, VerdictSettings, uncalibrated

TAIL = TailPoints(scores=(-10.0, 10.0), logits=(10.0, -10.0))
LEVEL = Level(
    slope=1.0,
    intercept=0.0,
    draws=((1.0, 0.0),) * 40,
    fake_threshold=2.0,
    real_threshold=-2.0,
    reals=200,
    fakes=200,
    groups=50,
    false_alarm_rate=0.01,
    false_alarms=2,
    false_alarm_interval=(0.001, 0.036),
    tail=TAIL,
    fake_scores={"swap": (-3.0, -1.0, 1.0, 4.0), "synthesis": (-1.0, 5.0)},
    missed_on="val",
)
PICTURES = VerdictSettings(levels={"picture": LEVEL})


def judge(*logits, settings=PICTURES, kind="picture", prior=None, error=0.0):
    """Judge a file with one person, of one track, for each logit."""
    persons = {number: [number] for number in range(len(logits))}
    found = {n: [evidence(logit=x, error=error, frames=9, track=n)] for n, x in enumerate(logits)}
    return decide(persons, found, kind=kind, settings=settings, prior=prior)


@pytest.mark.parametrize(
    ("logit", "label"),
    [(3.0, "fake"), (2.001, "fake"), (1.99, "inconclusive"), (-1.99, "inconclusive"), (-2.001, "real")],
)
def test_the_label_follows_from_the_thresholds(logit, label):
    decision = judge(logit)
    assert decision.file.label == label
    assert decision.persons[0].label == label
    assert decision.tracks[0].label == label
    assert decision.file.probability == pytest.approx(sigmoid(logit))


def test_thresholds_and_rates_are_stated_with_the_verdict():
    thresholds = judge(3.0).thresholds
    assert thresholds.fake == pytest.approx(sigmoid(2))
    assert thresholds.real == pytest.approx(sigmoid(-2))
    assert thresholds.false_alarm_rate == 0.01
    assert thresholds.miss_rate == pytest.approx(1 / 6)  # of six fakes one lies at or below -2


def test_real_says_no_manipulation_found_and_what_it_misses():
    text = " ".join(judge(-3.0).file.reasons)
    assert "No manipulation found" in text
    assert "swap 25.0 % of 4" in text
    assert "synthesis 0.0 % of 2" in text
    assert "held-out pictures" in text


def test_fake_states_the_measured_false_alarms():
    text = " ".join(judge(3.0).file.reasons)
    assert "Traces of manipulation" in text
    assert "1.0 %" in text
    assert "0.1 % to 3.6 %" in text


def test_probability_claims_no_more_than_the_tune_items_can_show():
    # 200 items of the rarer class: at most 201/202
    assert judge(50.0).file.probability == pytest.approx(201 / 202)
    assert judge(-50.0).file.probability == pytest.approx(1 / 202)


def test_one_manipulated_person_makes_the_file_fake():
    decision = judge(-3.0, 6.0, -4.0)
    assert decision.file.label == "fake"
    assert [decision.persons[n].label for n in range(3)] == ["real", "fake", "real"]
    assert "person 1" in decision.file.reasons[0]


def test_among_ten_faces_a_score_counts_less():
    # Of ten real faces one reaches 3 in 38 % of groups: 1 - (1 - sigmoid(-3))**10 = 0.385.
    # Likelihood ratios: e^3 and nine times e^-3, mean (20.0855 + 9 * 0.0497871) / 10 = 2.05336.
    decision = judge(3.0, *[-3.0] * 9)
    assert decision.file.label == "inconclusive"
    assert decision.file.probability == pytest.approx(2.05336 / 3.05336, abs=1e-5)
    assert decision.persons[0].label == "inconclusive"
    assert decision.persons[0].probability == pytest.approx(sigmoid(3))
    assert "10 faces" in " ".join(decision.file.reasons)


def test_equal_faces_have_the_probability_of_one():
    assert judge(*[-1.3] * 7).file.probability == pytest.approx(sigmoid(-1.3))


def test_a_group_is_real_only_when_every_face_is():
    assert judge(*[-2.5] * 10).file.label == "real"
    assert judge(*[-2.5] * 9, -1.0).file.label == "inconclusive"


def test_reported_thresholds_fit_the_reported_probability_of_a_group():
    for highest in (-2.5, -2.0001, -1.9999, 0.0, 3.3, 3.7, 5.0, 8.0):
        decision = judge(highest, -6.0, -6.0, -6.0)
        assert decision.thresholds.fake == pytest.approx(sigmoid(2))
        file, thresholds = decision.file, decision.thresholds
        expected = (
            "fake"
            if file.probability >= thresholds.fake
            else "real"
            if file.probability <= thresholds.real
            else "inconclusive"
        )
        assert file.label == expected


def test_the_prior_moves_the_probability():
    # odds e^-3 at a half become e^-3 / 9 at a tenth
    odds = math.exp(-3) / 9
    decision = judge(-3.0, prior=0.1)
    assert decision.prior == 0.1
    assert decision.file.probability == pytest.approx(odds / (1 + odds))
    assert decision.file.label == "real"


def test_fake_is_not_said_where_the_prior_makes_real_more_likely():
    decision = judge(3.0, prior=0.001)
    assert decision.file.probability < 0.5
    assert decision.file.label == "inconclusive"
    assert "0.1 %" in decision.file.reasons[0]
    assert judge(-3.0, prior=0.999).file.label == "inconclusive"


@pytest.mark.parametrize("prior", [0.0, 1.0, -1.0])
def test_an_impossible_prior_is_refused(prior):
    with pytest.raises(ValueError, match="prior"):
        judge(1.0, prior=prior)


def test_the_interval_holds_the_probability_and_widens_with_the_frames_spread():
    calm, shaky = judge(0.5).file, judge(0.5, error=1.0).file
    # 40 equal fits and no spread over frames leave no room
    assert calm.interval == pytest.approx((sigmoid(0.5), sigmoid(0.5)))
    # one standard error of 1 logit: about 0.5 -+ 1.96
    assert shaky.interval[0] == pytest.approx(sigmoid(0.5 - 1.96), abs=0.04)
    assert shaky.interval[1] == pytest.approx(sigmoid(0.5 + 1.96), abs=0.04)
    assert judge(0.5).interval_meaning


def test_no_face_is_inconclusive_without_a_number():
    decision = decide({}, {}, kind="picture", settings=PICTURES)
    assert decision.file.label == "inconclusive"
    assert decision.file.probability is None
    assert decision.file.reasons == (NO_FACE,)
    assert decision.thresholds is None


def test_a_face_that_cannot_be_judged_is_inconclusive_with_the_reason():
    found = {0: [evidence(status="inconclusive")]}
    decision = decide({5: [0]}, found, kind="video", settings=PICTURES)
    assert decision.file.label == decision.persons[5].label == "inconclusive"
    assert decision.file.probability is None
    assert decision.file.reasons == ("too dark",)


def test_faces_that_cannot_be_judged_do_not_hide_behind_those_that_can():
    found = {0: [evidence(logit=-3)], 1: [evidence(status="inconclusive")], 2: []}
    decision = decide({0: [0], 1: [1], 2: [2]}, found, kind="picture", settings=PICTURES)
    assert decision.file.label == "real"
    assert "2 further faces could not be judged" in decision.file.reasons[-1]
    assert "too dark" in decision.file.reasons[-1]
    # only judged faces count as chances of a false alarm
    assert decision.file.probability == pytest.approx(sigmoid(-3))


def test_clips_are_judged_by_their_own_calibrations():
    track = LEVEL.model_copy(update={"slope": 2.0})
    file = LEVEL.model_copy(update={"intercept": 1.0})
    settings = VerdictSettings(levels={"picture": LEVEL, "track": track, "file": file})
    decision = judge(0.5, settings=settings, kind="video")
    assert decision.persons[0].probability == pytest.approx(sigmoid(1.0))
    assert decision.file.probability == pytest.approx(sigmoid(1.5))
    assert decision.warnings == ()


def test_a_borrowed_calibration_is_admitted():
    warnings = judge(0.5, kind="video").warnings
    assert len(warnings) == 2
    assert all("pictures" in warning for warning in warnings)


def test_a_network_without_calibration_warns_and_uses_its_own_sigmoid():
    decision = judge(0.3, settings=uncalibrated())
    assert decision.file.label == "fake"
    assert decision.file.probability == pytest.approx(sigmoid(0.3))
    assert decision.file.interval is None
    assert decision.interval_meaning is None
    assert decision.thresholds.fake == decision.thresholds.real == 0.5
    assert decision.thresholds.false_alarm_rate is None
    assert "no calibration" in decision.warnings[0]
    assert judge(-0.3, settings=uncalibrated()).file.label == "real"
