"""Names of job folders."""

from hypothesis import given
from hypothesis import strategies as st

from raspitrain.sweep.names import MOST, job_names


def test_names_are_the_overrides_with_the_last_part_of_each_key():
    jobs = [
        {"batch_size": "16", "hardware.num_threads": "1"},
        {"batch_size": "32", "hardware.num_threads": "1"},
    ]
    assert job_names(jobs) == ["batch_size=16,num_threads=1", "batch_size=32,num_threads=1"]


def test_keys_that_end_alike_are_written_out():
    (name,) = job_names([{"dataset.seed": "1", "seed": "2"}])
    assert name == "dataset.seed=1,seed=2"


def test_a_path_becomes_a_name_and_stays_apart_from_its_like():
    names = job_names([{"dataset.path": "a/b"}, {"dataset.path": "a:b"}, {"dataset.path": "a_b"}])
    assert [name.startswith("path=a_b") for name in names] == [True] * 3
    assert len(set(names)) == 3


def test_names_differ_where_the_case_of_letters_does_not_count():
    names = job_names([{"name": "ECG"}, {"name": "ecg"}, {"name": "ecg"}])
    assert len({name.lower() for name in names}) == 3


values = st.dictionaries(
    st.sampled_from(["seed", "dataset.seed", "dataset.path", "optimizer.lr"]),
    st.text(min_size=1, max_size=200),
    max_size=4,
)


@given(st.lists(values, min_size=1, max_size=6))
def test_any_values_give_names_that_any_card_takes(jobs):
    names = job_names(jobs)
    assert names == job_names(jobs)
    assert len({name.lower() for name in names}) == len(jobs)
    for name in names:
        assert 0 < len(name) <= MOST + 2
        assert name.isascii()
        assert not set(name) & set('/\\:*?"<>| ')
        assert name.strip(".") == name
