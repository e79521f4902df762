"""The page of an audit: its parts, and names that are hostile."""

import html.parser
from dataclasses import replace

import pytest

from resnet.audit.cross_validation import CrossValidation
from resnet.audit.page import MOST_SHOWN, Audit, render_audit
from resnet.audit.suspects import Suspect
from tests.hostile.texts import TEXTS
from tests.pictures import picture
from tests.resnet.comparison.test_page import words


def audit(suspects: int, names: list[str] | None = None, decided: int = 0) -> Audit:
    """An audit with so many suspects, each with a picture."""
    names = names or ["cat", "dog", "great spotted woodpecker (juvenile)"]
    found = [
        Suspect(
            number + 1,
            f"{names[number % len(names)]}/{number}.png",
            f"{number:064x}",
            names[number % len(names)],
            names[(number + 1) % len(names)],
            number / max(suspects, 1) / 2,
        )
        for number in range(suspects)
    ]
    sizes = [(12, 10), (160, 120), (40, 160)]
    pictures = {one.path: picture(one.number, kind="JPEG", size=sizes[one.number % 3]) for one in found[:MOST_SHOWN]}
    return Audit(CrossValidation((500, 500), (450, 460)), found, pictures, dict.fromkeys(names, 100), decided, "../a<b")


def test_the_page_has_all_parts() -> None:
    text = words(render_audit(audit(2, decided=3)))
    for part in (
        "Audit of labels 2 suspects in 1,000 images of ../a&lt;b",
        "3 images with a decision are not listed again.",
        "91.0 %, 95 % interval 89.1 to 92.6 %",
        "1 500 450 90.0 %",
        "2 500 460 92.0 %",
        "cat 100 1 1.0 %",
        "given: cat suggested: dog score 0.000 · cat/0.png",
        "train-resnet decide",
    ):
        assert part in text.replace("89.1 % to", "89.1 to"), part


def test_many_suspects_are_counted_and_the_first_shown() -> None:
    page = render_audit(audit(MOST_SHOWN + 5))
    assert page.count("<img") == MOST_SHOWN
    assert "and 5 more in" in words(page)
    assert "None: the networks contradict no label confidently." in words(render_audit(audit(0)))


def test_an_earlier_decision_is_shown() -> None:
    found = audit(1)
    gone = Suspect(2, "x.png", "f" * 64, "", "dog", 1.0, "relabel")
    text = words(render_audit(Audit(found.accuracy, [*found.suspects, gone], found.pictures, found.images)))
    assert "no picture no longer a suspect decided: relabel dog" in text
    assert "Audit of labels 1 suspect in 1,000 images" in text
    assert "1 image that is no longer suspect follows at the end" in text


@pytest.mark.parametrize("kind", ["keep", "leave out"])
def test_only_a_new_label_is_shown_with_its_class(kind: str) -> None:
    found = audit(1)
    text = words(render_audit(replace(found, suspects=[replace(found.suspects[0], decision=kind)])))
    assert f"given: cat decided: {kind} score" in text


def test_networks_that_are_often_wrong_are_warned_of() -> None:
    warning = "The networks agree with only 79.9 % of the labels, so most suspects are probably right."
    weak = replace(audit(2), accuracy=CrossValidation((500, 500), (400, 399)))
    assert f"Audit of labels {warning}" in words(render_audit(weak))  # before the number of suspects
    assert "agree with only" not in words(render_audit(audit(2)))


class _Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_names_are_shown_as_text() -> None:
    page = render_audit(audit(len(TEXTS), TEXTS))
    parsed = _Tags()
    parsed.feed(page)
    assert not parsed.tags & {"script", "iframe", "object", "embed", "link", "base", "form"}
    assert not [name for name in parsed.attributes if name.startswith("on")]
    shown = " ".join("".join(parsed.text).split())
    assert [text for text in TEXTS if text.isprintable() and " ".join(text.split()) not in shown] == []
    assert "default-src 'none'" in page
