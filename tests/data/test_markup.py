import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import markup
from data.documents import Unreadable
from data.markup import Effort, Heading, PageText, text_of_markup


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p>It <i>was</i>\n  a&nbsp; <b>dark</b>   night.</p>", "It was a dark night."),
        ("<p>a<p>b<div>c</div>d", "a\n\nb\n\nc\n\nd"),
        ("a<br>b<br/>c<br><br>d<br><br><br>e", "a\nb\nc\n\nd\n\ne"),
        ("<p><br> <br></p><p>&nbsp;</p><p>a</p><hr><p>b<br></p>", "a\n\nb"),
        ("<blockquote>a<blockquote>b</blockquote></blockquote>c", "a\n\nb\n\nc"),
        ("<ul><li>a<li>b<ul><li>c</ul></ul>d", "a\n\nb\n\nc\n\nd"),
        (
            "a<pre>\n\n  one\n   <b>two</b>\n\n\n three \n</pre>b",
            "a\n\n  one\n   two\n\n\n three\n\nb",
        ),
        ("<pre>a<br>b</pre>", "a\nb"),
        ("x<sup>2</sup> H<sub>2</sub>O won<wbr>der&shy;land", "x2 H2O wonderland"),
        ("a&amp;b &lt;c&gt; &mdash;&#8217;&#x80;&#1; &foo;", "a&b <c> —’€ &foo;"),
        # tables
        ("<table><tr><td>a<td> b </td><tr><th>c<th>d</table>e", "a  b\nc  d\n\ne"),
        ("<table><tr><td><p>a</p></td><td><p>b</p></td></tr></table>", "a  b"),
        ("<table><tr><td></td><td>a</td><td></td><td>b</td></tr></table>", "a  b"),
        ("<table><tr><td><p>a</p><p>b</p></td><td>c</td></tr></table>", "a\n\nb\n\nc"),
        ("<table><caption>t</caption><tbody><tr><td>a</table>", "t\n\na"),
        # what no one reads
        ("a<script>if (a<b) {}</script><style>p{}</style><template>t</template>b", "ab"),
        ("a<noscript>n</noscript><svg><title>t</title><text>s</text></svg>b", "ab"),
        ("<form>a<input value=v><select><option>o</select><textarea>t</textarea></form>", "a"),
        ("<math><mi>x</mi><annotation>tex</annotation></math>", "x"),
        ("a<p hidden>b</p><p aria-hidden=TRUE>c</p><p style='display : none'>d</p>e", "ae"),
        ("<div hidden>a<p>b<br>c</div>d<!-- e -->", "d"),
        ("a<img src=x alt='A picture'>b", "ab"),
        ("<ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp></ruby>字", "漢字"),
        ("won<span class='x pagenum'>[p. 7]</span>der", "wonder"),
        ("a<span epub:type='pagebreak'>7</span>b<i role=doc-pagebreak>8</i>", "ab"),
        ("<p>word<a class=fnanchor href=#f>[1]</a>, on</p>", "word, on"),
        ("a<sup epub:type='noteref'>1</sup>b<a role='doc-noteref'>2</a>", "ab"),
        # drop caps
        ("<p><span class='dropcap'>A</span>lice</p>", "Alice"),
        ("<div class='drop-cap'>A</div>lice", "Alice"),
        ("<p><img class=cap alt=A src=a.png>lice</p>", "Alice"),
        # XHTML closes what HTML would leave open
        (
            "<?xml version='1.0'?><head><title/><script src='x'/></head><a id='x'/>a<div/>b",
            "a\n\nb",
        ),
        ("<p>a<textarea/>b<iframe/>c</p>", "abc"),
        # navigation
        ("<nav><a>Next</a></nav><p>a</p>", "a"),
        ("<nav><ol><li>One<li>Two</ol></nav>", "One\n\nTwo"),
        # no entities but the named characters
        ("<!DOCTYPE html [<!ENTITY l 'lol'><!ENTITY m '&l;&l;'>]><p>&m;</p>", "&m;"),
        ("", ""),
        (" \n ", ""),
        ("<!-- only -->", ""),
    ],
)
def test_pages_as_they_are_read(page: str, text: str) -> None:
    assert text_of_markup(page).text == text


@pytest.mark.parametrize(
    "note",
    [
        "<aside epub:type='footnote'>note</aside>",
        "<div role=doc-endnote>note</div>",
        "<div class='footnotes'>note</div>",
        "<body epub:type='endnotes backmatter'>note</body>",
    ],
)
def test_notes_are_left_out_and_counted(note: str) -> None:
    assert text_of_markup(note) == PageText("", (), {}, notes_characters=len("note"))


def test_the_characters_of_notes_are_those_that_would_be_read() -> None:
    page = text_of_markup(
        "<p>a<a class=noteref>1</a></p><div class=footnotes><p>1. <i>Of</i>\n  rain.</p>"
        "<nav>up</nav><p epub:type=footnote>2.<script>x</script></p></div><p hidden>b</p>"
        "<p class=endnote>3.</p><p>c</p>"
    )
    assert page.text == "a\n\nc"
    assert page.notes_characters == len("1. Of rain.\n\n2.\n\n3.")


def test_headings_and_anchors_are_where_their_words_begin() -> None:
    page = text_of_markup(
        "<a name=top></a><p>x</p><h2 id=c1> CHAPTER I<br/> <i>Down</i> </h2><h3></h3>"
        "<p id=p>It <b id=b>was</b><span class=pagenum id=p7>7</span> a</p><p id=end></p>"
    )
    assert page.text == "x\n\nCHAPTER I\nDown\n\nIt was a"
    assert page.headings == (Heading(2, "CHAPTER I Down", 3),)
    assert page.anchors == {"top": 0, "c1": 3, "p": 19, "b": 22, "p7": 26, "end": 27}
    assert page.text[page.anchors["p7"] :] == "a"


def test_a_heading_in_a_heading_is_one() -> None:
    assert text_of_markup("<h1>a<h2>b</h2></h1>").headings == (Heading(1, "a b", 0),)


def test_a_page_says_what_it_is() -> None:
    page = text_of_markup(
        "<html xml:lang='en-GB'><head><title> My\n Book </title><meta name='DC.Creator'"
        " content='Jane  Austen'></head><body lang=fr>x<svg><title>no</title>"
    )
    assert page == PageText("x", (), {}, title="My Book", author="Jane Austen", language="en")
    assert text_of_markup("<html lang=deu><p>x").language is None


def test_depth_does_not_recurse() -> None:
    assert text_of_markup("<div>" * 100_000 + "x").text == "x"
    assert text_of_markup("<b><i>" * 100_000 + "x").text == "x"
    closed = "<div>x" * 20_000 + "</div>" * 20_000
    assert text_of_markup(closed).text == "\n\n".join("x" * 20_000)


def test_limits_name_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markup, "MOST_COMPARISONS", 10_000_000)
    with pytest.raises(Unreadable, match=r"elements [\d,]+ deep and many end tags"):
        text_of_markup("<b>" * 10_000 + "</x>" * 10_000)
    monkeypatch.setattr(markup, "MOST_PARTS", 10)
    with pytest.raises(Unreadable, match="over 10 elements"):
        text_of_markup("<br>" * 20)
    monkeypatch.setattr(markup, "MOST_CHARACTERS", 10)
    with pytest.raises(Unreadable, match="11 characters; a page may have 10"):
        text_of_markup("x" * 11)


def test_the_pages_of_a_book_have_one_limit_of_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    page = "<b>" * 10_000 + "</x>" * 10_000
    alone = Effort()
    text_of_markup(page, effort=alone)
    monkeypatch.setattr(markup, "MOST_COMPARISONS", 2 * alone.num_comparisons)
    book = Effort()
    text_of_markup(page, effort=book)
    text_of_markup(page, effort=book)
    with pytest.raises(Unreadable, match=r"^The book has elements 10,00\d deep and many end tags"):
        text_of_markup(page, effort=book)


Tree = tuple[str, list[str]]  # markup, and the words in it that are seen

TAGS_WITH_WORDS = ["b", "i", "span", "em", "sup", "font", "div", "section", "blockquote", "article"]
UNSEEN = ["<script>unseen</script>", "<p hidden>unseen</p>", "<i class=pagenum>7</i>", "<!-- x -->"]


def element(tag: str, unseen: str, inner: list[Tree]) -> Tree:
    content = "".join(html for html, _ in inner)
    return f"<{tag}>{content}{unseen}</{tag}>", [word for _, words in inner for word in words]


trees: st.SearchStrategy[Tree] = st.recursive(
    st.from_regex(r"[a-zé]{1,6}", fullmatch=True).map(lambda word: (f" {word} ", [word])),
    lambda inner: st.builds(
        element,
        st.sampled_from(TAGS_WITH_WORDS),
        st.sampled_from(["", *UNSEEN]),
        st.lists(inner, max_size=4),
    ),
    max_leaves=30,
)


@given(st.lists(trees, max_size=6))
@settings(deadline=None)
def test_every_visible_word_once_and_in_order(parts: list[tuple[str, list[str]]]) -> None:
    text = text_of_markup("".join(html for html, _ in parts)).text
    assert text.split() == [word for _, words in parts for word in words]


TAGS = ["h1", "p", "td", "tr", "table", "pre", "nav", "li", "br", "body", "html", "head", "title"]
wild_pieces = st.sampled_from(
    [f"<{tag}>" for tag in TAGS]
    + [f"</{tag}>" for tag in TAGS]
    + [
        "<a id=x>",
        "<p hidden>",
        "<img alt=A>",
        "<!--",
        "-->",
        "&#xD800;",
        "&#0;",
        "\n",
        "  ",
        "x",
        "<",
    ]
)


@given(st.lists(wild_pieces).map("".join) | st.text(st.characters(exclude_categories=["Cs"])))
@settings(deadline=None)
def test_any_markup_gives_tidy_text(html: str) -> None:
    page = text_of_markup(html)
    page.text.encode()  # or no table could hold it
    assert page.text == page.text.strip()
    assert not any(character in page.text for character in "\0\r\x01\xad")
    for heading in page.headings:
        assert page.text[heading.char_start :].split()[0] == heading.words.split()[0]
    assert all(0 <= offset <= len(page.text) for offset in page.anchors.values())
