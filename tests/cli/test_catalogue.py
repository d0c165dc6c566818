"""What is known of a plugin without importing it."""

from __future__ import annotations

from pathlib import Path


def test_list_facts_equal_the_code():
    from vibro.cli.catalogue import read_facts
    from vibro_plugins.detectors import mahalanobis

    facts = read_facts(Path(mahalanobis.__file__))
    cls = next(c for c in vars(mahalanobis).values() if getattr(c, "name", None) == "mahalanobis")
    assert facts["mahalanobis"] == {"view": cls.view, "summary": cls.summary}


def test_facts_of_files_are_kept_until_the_file_changes(tmp_path):
    from vibro.cli.catalogue import Facts

    file, kept = tmp_path / "mine.py", tmp_path / "cache" / "facts.json"
    text = 'class A:\n    """{}."""\n    name = "a"\n'
    for content, said in (("Old", "Old."), ("Old", "Old."), ("Newer", "Newer.")):
        file.write_text(text.format(content))
        facts = Facts(kept)
        assert facts.of(file) == {"a": {"view": None, "summary": said}}
        facts.keep()
    kept.write_text(kept.read_text().replace("Newer", "Kept"))
    assert Facts(kept).of(file)["a"]["summary"] == "Kept."
    for damaged in ("[1]", "no json", '{"' + str(file) + '": 3}'):
        kept.write_text(damaged)
        assert Facts(kept).of(file)["a"]["summary"] == "Newer."
