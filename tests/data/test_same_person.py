from unmask.data.same_person import SAME_PERSON, person, splits_of_persons


def test_no_group_is_two_persons():
    for persons in SAME_PERSON.values():
        groups = [group for groups in persons for group in groups]
        assert len(groups) == len(set(groups))
        assert all(len(names) > 1 for names in persons)


def test_who_is_listed_twice_has_one_name():
    assert person("dfdc_faces", "id3094") == person("dfdc_faces", "id1601")
    assert person("another", "id3094") == "id3094"
    assert person("dfdc_faces", "someone") == "someone"


def test_splits_are_those_of_the_person():
    rows = [
        ("dfdc_faces", "id1601", "val"),
        ("dfdc_faces", "id3094", "train"),
        ("another", "id3094", "train"),
    ]
    found = splits_of_persons(rows)
    assert found["dfdc_faces", "id1601"] == {"val", "train"}
    assert found["another", "id3094"] == {"train"}
