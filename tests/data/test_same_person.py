"""Identities that are one person."""

from unmask.data.same_person import SAME_PERSON, person


def test_no_group_is_two_persons():
    for persons in SAME_PERSON.values():
        groups = [group for groups in persons for group in groups]
        assert len(groups) == len(set(groups))
        assert all(len(names) > 1 for names in persons)


def test_who_is_listed_twice_has_one_name():
    assert person("dfdc_faces", "id3094") == person("dfdc_faces", "id1601")
    assert person("another", "id3094") == "id3094"
    assert person("dfdc_faces", "someone") == "someone"
