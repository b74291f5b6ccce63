"""Identities of a data set that are one person: where a list names somebody twice, splits by identity leak.

The identities of `dfdc_faces` give some persons several names, mostly where they were filmed at another time
or in profile. Those below were found by the product's likeness (`unmask.faces.persons`, mean of up to six
real pictures of an identity): each identity of *val* and of the *tune* fold beside its three nearest in
*train*, from a cosine of .575 on (87 and 86 pairs), looked at one by one; the same room, clothes or marks
decided, and doubtful ones of *tune* count as the same person. Who looks different another day is not found.
"""

from __future__ import annotations

SAME_PERSON: dict[str, tuple[tuple[str, ...], ...]] = {
    "dfdc_faces": (
        # in val and train
        ("id1601", "id3094"),
        ("id15218", "id15888"),
        ("id9435", "id7520"),
        ("id7342", "id2435", "id12723"),
        ("id2710", "id8411"),
        # in the tune fold and train
        ("id10415", "id137", "id3918", "id12659"),
        ("id802", "id5234"),
        ("id8083", "id12530", "id344", "id14523"),
        ("id689", "id7697"),
        ("id7536", "id8145"),
        ("id4704", "id11634"),
        ("id12658", "id6832", "id14440", "id83"),
        ("id11194", "id8912"),
        ("id1855", "id13270", "id1940", "id89"),
        ("id5951", "id10909", "id545"),
        ("id606", "id8831"),
        ("id11051", "id14277", "id6918"),
        ("id11733", "id15765"),
        ("id8892", "id1443", "id12897"),
        ("id6571", "id13170", "id14527"),
        ("id2354", "id2447"),
        ("id329", "id388"),
        ("id3632", "id5142"),
        ("id2594", "id6714"),
        ("id12536", "id12421"),
    )
}
"""By data set, the groups of each person who has several."""

_PERSONS = {
    (data_set, group): groups[0]
    for data_set, persons in SAME_PERSON.items()
    for groups in persons
    for group in groups
}


def person(data_set: str, group: str) -> str:
    """Return the first of the groups that are the same person as a group, or the group itself."""
    return _PERSONS.get((data_set, group), group)
