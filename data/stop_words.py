"""Words that say how a sentence is built and not what it is about.

English ones, from 1500 until now, are written here: NLTK's list is a download and knows no *thou*,
and stopwordsiso's, whence those of other languages come, has 1,298 words, many of them a text's
subject. All are case-folded. Pieces such as `n't` and `'t` are what `NLTKWordTokenizer` cuts from
*don't* and *'tis*; the bare pieces (`don`, `t`) are what it leaves of the same words spelt with a
typographic apostrophe.
"""

from functools import cache

from stopwordsiso import has_lang, stopwords

_PRONOUNS = """
i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his himself
she her hers herself it its itself they them their theirs themselves one oneself who whom whose
which what that this these those somebody someone something anybody anyone anything nobody none
nothing everybody everyone everything each other others another whoever whatever whichever such
"""
_DETERMINERS = (
    "a an the all any both either every few less many more most much neither no own same some"
)
_PREPOSITIONS = """
about above across after against along amid among around as at before behind below beneath beside
besides between beyond but by despite down during except for from in inside into like near of off
on onto out outside over past per since than through throughout till to toward towards under until
up upon via with within without
"""
_CONJUNCTIONS = """
although and because however if lest nor not or so though unless when whenever where whereas
wherever whether while whilst yet therefore thus hence why how
"""
_VERBS = """
be am is are was were been being do does did done doing have has had having can could may might
must need ought shall should will would cannot let
"""
_ADVERBS = """
again ago almost already also always else enough even ever far further here just never now often
once only perhaps quite rather really seldom sometimes soon still then there too very well
"""
_EARLY_MODERN = """
thou thee thy thine thyself ye art wast wert beest hast hath hadst dost doth didst doest doeth
shalt shouldst wilt wouldst canst couldst mayst mayest mightst must needs durst anon ay aye nay yea
ere erst betwixt twixt amongst midst oft ofttimes hither thither whither hence thence whence hereof
thereof whereof herein therein wherein hereby thereby whereby hereto thereto whereto hereupon
thereupon whereupon therewith wherewith withal whosoever whatsoever wheresoever whoso howsoever
notwithstanding peradventure perchance haply forsooth albeit an't on't in't is't for't to't o't
wherefore tis twas twere twill twould o'er e'en e'er ne'er
"""
_CONTRACTION_PIECES = """
n't 's 'll 'd 're 've 'm 't 'tis 'twas 'twere 'twill 'twould 'em 'st 'rt 'n d' o' th' i' s t d ll re
ve m st don didn doesn hadn hasn haven isn aren wasn weren won wouldn couldn shouldn mustn needn
mightn shan ain ca wo sha gon na got ta wan gim lem
"""

ENGLISH_STOP_WORDS = frozenset(
    " ".join(
        (
            _PRONOUNS,
            _DETERMINERS,
            _PREPOSITIONS,
            _CONJUNCTIONS,
            _VERBS,
            _ADVERBS,
            _EARLY_MODERN,
            _CONTRACTION_PIECES,
        )
    ).split()
)


@cache
def stop_words_of(language: str | None) -> frozenset[str]:
    """The stop words of a language: none where it has no list, English ones where it is not known.

    Args:
        language: two-letter code.
    """
    if language in (None, "en"):
        return ENGLISH_STOP_WORDS
    return frozenset(map(str.casefold, stopwords(language))) if has_lang(language) else frozenset()
