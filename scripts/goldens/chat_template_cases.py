"""The cases of chat_template.py: contexts (variables) and templates by subject.

A template is a string, rendered in the context "plain", or a pair of a context's name and a string.
"""

TOOLS = [
    {"type": "function", "function": {
        "name": "weather", "description": "The weather of a \"place\" <now>",
        "parameters": {"type": "object", "required": ["place"], "properties": {
            "place": {"type": "string", "description": "Town & country"},
            "unit": {"type": "string", "enum": ["c", "f"], "default": "c"},
            "days": {"type": "integer", "nullable": True},
            "tags": {"type": "array", "items": {"type": "string"}},
            "more": {"type": "object", "properties": {"a": {"type": "number"}}}}}}},
    {"type": "function", "function": {"name": "now", "description": "Die Uhrzeit – jetzt",
                                      "parameters": {"type": "object", "properties": {}}}},
]


def call(number, arguments):
    return {"id": f"c{number}", "type": "function",
            "function": {"name": "weather", "arguments": arguments}}


CONVERSATIONS = {
    "one": [{"role": "user", "content": "Hello"}],
    "system": [{"role": "system", "content": "  Be kind. "}, {"role": "user", "content": "Hi\n"},
               {"role": "assistant", "content": " Hello! "}, {"role": "user", "content": "naïve 日本 😀"}],
    "thinking": [{"role": "user", "content": "2+2?"},
                 {"role": "assistant", "content": "<think>\nhm\n</think>\n\n4"},
                 {"role": "user", "content": "And 3+3?"},
                 {"role": "assistant", "content": "6", "reasoning_content": "double three"}],
    "calls": [{"role": "system", "content": "S"}, {"role": "user", "content": "Weather?"},
              {"role": "assistant", "content": None, "tool_calls": [
                  call(1, {"place": "Paris", "days": 2, "x": None, "y": [1, 2.5, True]}),
                  call(2, {"place": "Köln"})]},
              {"role": "tool", "name": "weather", "tool_call_id": "c1", "content": "{\"t\": 20}"},
              {"role": "tool", "name": "weather", "tool_call_id": "c2", "content": "15"},
              {"role": "assistant", "content": "Warm."}, {"role": "user", "content": "Thanks"}],
    "parts": [{"role": "user", "content": [{"type": "text", "text": "Look: "}, {"type": "image"},
                                           {"type": "text", "text": "there"}]}],
    "unordered": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
    "empty": [],
}

CONTEXTS = {
    "plain": {
        "i": 5, "neg": -7, "zero": 0, "f": 2.5, "big": 1e16, "tiny": 1.5e-7, "s": "Hello World",
        "e": "", "u": "naïve 日本語 😀!", "no": None, "yes": True, "never": False,
        "l": [3, 1, 2], "empty": [], "words": ["b", "A", "c", "a"], "mixed": [1, "a", None, 2.0, True],
        "d": {"b": 1, "a": "x", "items": "own", "C": None}, "nested": {"x": {"y": [10, {"z": "deep"}]}},
        "rows": [{"n": "Ann", "age": 30, "ok": True}, {"n": "bob", "age": 25}, {"n": "Cid", "age": 30, "ok": False}],
        "quotes": "it's \"q\" \\ \n\t\x01\x7f é", "html": "<a href='x'>&\"</a>", "lines": "one\n\n  two\r\nthree\n",
    },
}
for name, messages in CONVERSATIONS.items():
    base = {"messages": messages, "tools": None, "documents": None, "bos_token": "<s>",
            "eos_token": "</s>", "add_generation_prompt": True}
    CONTEXTS[name] = base
    CONTEXTS[name + "+tools"] = {**base, "tools": TOOLS}
CONTEXTS["thinking-off"] = {**CONTEXTS["thinking"], "enable_thinking": False, "add_generation_prompt": False}

CASES = {
    "literals": [
        "{{ 1 }} {{ -1 }} {{ 1_000 }} {{ 0x1f }} {{ 0o17 }} {{ 0b101 }} {{ 00 }}",
        "{{ 1.0 }} {{ 1e3 }} {{ 1.5e-7 }} {{ 1e16 }} {{ 1e15 }} {{ 123456789.123 }} {{ 0.1 + 0.2 }} {{ 1_0.5 }} {{ 1e22 }} {{ -0.0 }}",
        "{{ 'a\\nb\\tc\\\\d\\'e\\\"f' }}|{{ \"it's\" }}|{{ '\\x41\\u00e9\\U0001F600\\101' }}|{{ '\\q' }}|{{ 'a' 'b' \"c\" }}",
        "{{ 'two\nlines' }}|{{ 'joined\\\nlines' }}|{{ 'é\\é' }}",
        "{{ [1, 'a', none, true, 2.5] }} {{ (1, 2) }} {{ (1,) }} {{ () }} {{ {'a': 1, 'b': [2]} }} {{ {} }} {{ [] }}",
        "{{ true }} {{ True }} {{ false }} {{ none }} {{ None }} {{ [True, none] }}",
        "{{ 1, 2 }} {{ [1, 2,] }} {{ {'a': 1,} }} {{ {1: 'i', 1.5: 'f', none: 'n', true: 't'} }}",
        "{{ {'a': 1, 'a': 2} }} {{ {1: 'a', true: 'b', 1.0: 'c'} }}",
        "{{ quotes }}|{{ [quotes] }}|{{ [\"it's\", 'say \"x\"', \"both ' \\\"\"] }}",
        "{{ u }} {{ [u] }} {{ ['\\u200b', '\\x00', '\\x7f', '\\xa0'] }}",
        "{{ '\\ud800' }}", "{{ '\\x4' }}", "{{ 'open }}", "{{ 1.2.3 }}", "{{ 012 }}", "{{ 1a }}", "{{ $ }}", "{{ 'a' if }}",
        "{{ 9223372036854775807 }} {{ -9223372036854775807 }}", "{{ big }} {{ tiny }} {{ 1e-5 }} {{ 0.0001 }} {{ 1e100 }}",
    ],
    "white space": [
        "a\n  {% if yes %}\n  b\n  {% endif %}\nc", "a\n  {%- if yes -%}\n  b\n  {%- endif -%}\nc",
        "a\n  {%+ if yes %}\n  b\n  {%+ endif +%}\nc", "  {% if yes %}x{% endif %}  \n  y", "x {% if yes %} y {% endif %} z",
        "  {{ i }}\n  {{- i }}\n  {{ i -}}\n  z", "a {{- -1 }} b {{+ 1 }} c", "{{-1}}|{{ - 1 }}|{{+1}}",
        "a\n  {# comment #}\n  b {#- c -#}  d {# e +#}\n  f", "{# a #}\n\n{# b #}\n", "x\n", "x\n\n", "\n", "", "\r\na\rb\r\n\r\n",
        "{% raw %}\n  {{ x }} {% if %}\n{% endraw %}\nb", "{%- raw -%}\n  {{ x }}\n  {%- endraw -%}\nb", "a\n  {% raw %}\n b\n  {% endraw %}\nc",
        "{% raw %}{% endraw %}|{% raw %}{# #}{{% endraw +%}\nx", "a\n {%- set x = 1 -%} \n b{{ x }}",
        "\t{% set a = 1 %}\n\u00a0{% set b = 2 %}\nx", "a{% if yes %}\n\n{% endif %}b", "{% if yes %}\n{% if yes %}\n  q\n{% endif %}\n{% endif %}\n",
        "{{ '{{' }} { {{ '}}' }} } {% set x = {'a': {'b': 1}} %}{{ x['a']['b']}}", "{{ {'a': {'b': 1}}.a.b }}", "{ { } } %} }} #}",
        "{#", "{{", "{%", "{% raw %}x", "{{ ) }}", "{{ (1] }}", "{{ i }", "{% if yes }}", "{{ i %}",
    ],
    "arithmetic": [
        "{{ 7 + 2 }} {{ 7 - 9 }} {{ 7 * 2 }} {{ 7 / 2 }} {{ 6 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 2 ** 10 }} {{ 2 ** -1 }}",
        "{{ 7.5 // 2 }} {{ -7.5 // 2 }} {{ 7.5 % 2 }} {{ -7.5 % 2 }} {{ 2.0 ** 0.5 }} {{ 1 / 3 }} {{ 1e308 * 10 }} {{ 5.0 % -3 }}",
        "{{ 1 + 2 * 3 - 4 / 2 }} {{ (1 + 2) * 3 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }} {{ 2 * -3 }} {{ +i }} {{ -f }} {{ not 1 + 1 }}",
        "{{ true + true }} {{ true * 3 }} {{ -true }} {{ 3 - false }}", "{{ 'a' + 'b' }} {{ 'ab' * 3 }} {{ 2 * 'x' }} {{ [1] + [2] }} {{ [0] * 3 }} {{ (1,) + (2,) }} {{ 'a' * -1 }}",
        "{{ 1 ~ 'a' ~ none ~ true ~ 1.5 ~ [1] ~ missing }}", "{{ 'a' ~ 1 + 2 }}", "{{ 1 + 2 ~ 3 }}", "{{ 'n=%d f=%.2f s=%s %%' % (3, 2.345, 'x') }} {{ '%s' % 'a' }} {{ '%(k)s!' % {'k': 5} }}",
        "{{ 1 / 0 }}", "{{ 1 % 0 }}", "{{ 'a' + 1 }}", "{{ 1 + 'a' }}", "{{ none + 1 }}", "{{ [1] + (2,) }}", "{{ missing + 1 }}", "{{ 'a' - 'b' }}", "{{ -'a' }}", "{{ 0 ** -1 }}", "{{ {} + {} }}",
        "{{ 9007199254740993 == 9007199254740992.0 }} {{ 10 ** 18 }} {{ i / 2.0 }}", "{{ 1.5 + 1 }} {{ 3 // 2.0 }} {{ 0.0 * -1 }} {{ 2 ** 0.5 }}",
    ],
    "comparison": [
        "{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ 1 == true }} {{ '1' == 1 }} {{ none == none }} {{ none == false }} {{ 1 != 2 }}",
        "{{ 'a' < 'b' }} {{ 'a' < 'B' }} {{ [1, 2] < [1, 3] }} {{ (1, 2) <= (1, 2) }} {{ [1, 'a'] == [1, 'a'] }} {{ [1] == (1,) }} {{ {'a': 1} == {'a': 1.0} }}",
        "{{ 'ell' in s }} {{ 'x' not in s }} {{ 2 in l }} {{ 'a' in d }} {{ 'x' in d }} {{ 1 in (1, 2) }} {{ '' in '' }} {{ 3 in range(5) }} {{ 'y' in nested.x }} {{ none in mixed }}",
        "{{ missing == missing2 }} {{ missing in [1] }} {{ 1 in missing }} {{ missing == '' }} {{ missing != none }}",
        "{{ yes and 'r' }} {{ never and 'r' }} {{ '' or 'd' }} {{ 0 or none }} {{ not '' }} {{ not l }} {{ yes and never or 'z' }} {{ not not 1 }} {{ missing or 'm' }}",
        "{{ 'a' if yes }} {{ 'a' if never }}| {{ 'a' if never else 'b' }} {{ 1 if 0 else 2 if 0 else 3 }} {{ ('x' if never) is defined }}",
        "{{ 1 < 'a' }}", "{{ none < 1 }}", "{{ {} < {} }}", "{{ missing < 1 }}", "{{ 1 in 5 }}", "{{ 1 in 'a' }}", "{{ [1] in {} }}", "{{ [1] < (1,) }}", "{{ l is in [[3, 1, 2]] }} {{ 1 < 2 == true }}",
        "{{ not i in l }} {{ i not in l }} {{ not (i is none) }} {{ i is not none and i > 3 }}", "{{ 1 == 1 in [true] }} {{ 0.0 == -0.0 }} {{ 1e16 > 9999999999999999 }}",
    ],
    "subscripts": [
        "{{ l[0] }} {{ l[-1] }} {{ l[5] }}| {{ s[0] }} {{ s[-1] }} {{ u[6] }} {{ u[-2] }} {{ d['b'] }} {{ d.a }} {{ d['nope'] }}| {{ nested.x.y[1].z }} {{ nested['x']['y'].0 }} {{ l[true] }}",
        "{{ l[1:] }} {{ l[:1] }} {{ l[:-1] }} {{ l[::-1] }} {{ l[::2] }} {{ l[5:] }} {{ l[-2:] }} {{ l[2:0:-1] }} {{ l[:] }} {{ (1, 2, 3)[1:] }} {{ range(10)[2:8:2]|list }} {{ l[none:none] }}",
        "{{ s[1:4] }} {{ s[::-1] }} {{ u[5:8] }} {{ u[::-1] }} {{ u[-3:] }} {{ s[20:] }}| {{ s[::3] }} {{ s[-100:100] }} {{ s[-1:-100:-4] }} {{ s[4:1] }}|",
        "{{ d.items is callable }}", "{{ d['items'] }} {{ d.items()|list }} {{ d.get('items') }} {{ d.keys()|list }} {{ d.values()|list }}", "{{ s.nope }}|", "{{ l['x'] }}|{{ l.x }}|{{ i.x }}|{{ no.x }}|",
        "{{ missing.x }}", "{{ missing['x'] }}", "{{ d.nope.x }}", "{{ no[0] }}|", "{{ no[0].x }}", "{{ i[0:1] }}", "{{ d[0:1] }}", "{{ missing[0:1] }}", "{{ l[1.5] }}|", "{{ l[::0] }}", "{{ l['a':] }}", "{{ {(1, 2): 'x'}[1, 2] }}",
        "{{ {1: 'i', 'a': 2}[1] }} {{ {1: 'i'}[1.0] }} {{ {1: 'i'}['1'] }}|", "{{ d.__class__ }}|{{ s._x }}|{{ l.__len__ }}|", "{{ d.__class__() }}", "{{ l.append }}|", "{{ l.append(1) }}", "{{ d.update({'a': 1}) }}", "{{ d.pop('a') }}", "{{ d.setdefault('q', 1) }}", "{{ l.sort() }}",
    ],
    "methods": [
        "{{ s.upper() }} {{ s.lower() }} {{ s.title() }} {{ s.capitalize() }} {{ s.swapcase() }} {{ 'straße ﬁ'.upper() }} {{ 'ΑΣ ΑΣΑ'.lower() }} {{ 'ÉCOLE'.lower() }} {{ \"they're\".title() }} {{ 'ß'.capitalize() }}",
        "{{ '  a b '.strip() }}|{{ '  a '.lstrip() }}|{{ ' a  '.rstrip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'abcba'.lstrip('ab') }}|{{ '\\u3000a\\xa0'.strip() }}|{{ 'a\\n\\n'.rstrip('\\n') }}|{{ ' a '.strip(none) }}|",
        "{{ 'a,b,,c'.split(',') }} {{ 'a,b,c'.split(',', 1) }} {{ ' a  b '.split() }} {{ ' a  b c '.split(none, 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ ' a b  c '.rsplit(none, 1) }} {{ ''.split() }} {{ ''.split(',') }} {{ 'abc'.split('abc') }} {{ 'a-b-c'.split(sep='-', maxsplit=1) }} {{ 'a b'.split(maxsplit=0) }}",
        "{{ '<think>a</think>b'.split('</think>')[-1] }} {{ '<think>a</think>b'.split('</think>')[0].split('<think>')[-1] }}", "{{ lines.splitlines() }} {{ lines.splitlines(true) }} {{ 'a\\x0bb\\u2028c'.splitlines() }} {{ ''.splitlines() }}",
        "{{ s.startswith('He') }} {{ s.startswith(('x', 'H')) }} {{ s.endswith('ld') }} {{ s.endswith(()) }} {{ s.startswith('ell', 1) }} {{ s.startswith('') }} {{ s.endswith('Hello', 0, 5) }} {{ u.startswith('日', 6) }}",
        "{{ s.replace('l', 'L') }} {{ s.replace('l', 'L', 2) }} {{ 'abc'.replace('', '-') }} {{ 'abc'.replace('', '-', 2) }} {{ 'aaa'.replace('aa', 'b') }} {{ s.replace('x', 'y') }} {{ 'abc'.replace('b', '', 0) }}",
        "{{ s.find('o') }} {{ s.rfind('o') }} {{ s.find('zz') }} {{ s.index('W') }} {{ s.rindex('l') }} {{ s.count('l') }} {{ s.count('') }} {{ u.find('語') }} {{ s.find('o', 5) }} {{ s.find('o', -3) }} {{ s.count('o', 0, 5) }} {{ ''.find('') }} {{ 'abc'.find('', 3) }} {{ 'abc'.find('', 4) }}",
        "{{ s.index('zz') }}", "{{ ','.join(['a', 'b']) }} {{ ''.join('abc') }} {{ '-'.join(d) }} {{ ', '.join(words[:2]) }}", "{{ ','.join([1, 2]) }}", "{{ ','.join(5) }}", "{{ 'a'.split('') }}", "{{ s.nope() }}", "{{ i.upper() }}",
        "{{ '12'.isdigit() }} {{ ''.isdigit() }} {{ '1a'.isdigit() }} {{ 'ab'.isalpha() }} {{ 'é'.isalpha() }} {{ 'a1'.isalnum() }} {{ 'AB1'.isupper() }} {{ '1'.isupper() }} {{ 'ab'.islower() }} {{ ' \\t'.isspace() }} {{ 'Ab Cd'.istitle() }} {{ '²'.isdigit() }} {{ '½'.isnumeric() }} {{ '²'.isdecimal() }} {{ 'a_1'.isidentifier() }} {{ '1a'.isidentifier() }} {{ 'a'.isascii() }} {{ u.isascii() }}",
        "{{ 'abc'.removeprefix('ab') }} {{ 'abc'.removesuffix('bc') }} {{ 'abc'.removeprefix('x') }} {{ '42'.zfill(5) }} {{ '-42'.zfill(5) }} {{ 'ab'.center(7) }}| {{ 'ab'.center(5, '*') }} {{ 'a'.center(4, '*') }} {{ 'ab'.ljust(5, '.') }} {{ 'ab'.rjust(5, '.') }} {{ 'abc'.ljust(2) }}",
        "{{ 'a=b=c'.partition('=') }} {{ 'a=b=c'.rpartition('=') }} {{ 'abc'.partition('=') }} {{ 'abc'.rpartition('=') }} {{ 'a\\tb'.expandtabs(4) }}", "{{ [1, 2, 1].count(1) }} {{ [1, 2, 1].index(2) }} {{ (1, 2).index(2) }} {{ (1, 1.0, true).count(1) }} {{ d.get('b') }} {{ d.get('nope') }} {{ d.get('nope', 'def') }} {{ d.copy() == d }}", "{{ [1].index(2) }}", "{{ d.get([]) }}",
        "{{ '{} {}'.format(1, 'a') }} {{ '{1} {0}'.format(1, 2) }} {{ '{a} {b[0]} {c.k}'.format(a=1, b=[2], c={'k': 3}) }} {{ '{:>5}|{:<5}|{:^5}|{:*^6}'.format('a', 'b', 'c', 'd') }} {{ '{:05d} {:+d} {:x} {:#x} {:b} {:,}'.format(42, 7, 255, 255, 5, 1234567) }} {{ '{:.2f} {:8.3f} {:e} {:g} {:%} {:.1%}'.format(3.14159, 2.5, 12345.678, 0.0001, 0.5, 0.256) }} {{ '{{}} {!r}'.format('q') }} {{ '{:.3}'.format('abcdef') }} {{ '{:{}}'.format('a', 4) }}|",
        "{{ '{}'.format() }}", "{{ '{a}'.format(b=1) }}", "{{ '{:d}'.format('a') }}", "{{ '{'.format() }}", "{{ '{} {0}'.format(1) }}", "{{ '%d' % 'a' }}", "{{ '%s %s' % (1,) }}", "{{ '%s' % (1, 2) }}", "{{ '%q' % 1 }}", "{{ '%5s|%-5s|%05d|%+d|%x|%X|%o|%e|%g|%5.1f|%r|%c|%i' % ('a', 'b', 42, 7, 255, 255, 8, 12345.678, 0.00001, 2.25, 'q', 'z', 3) }}", "{{ '%s %s' % ([1], none) }} {{ '%.3s' % 'abcdef' }} {{ '%*d' % (5, 42) }} {{ '%d' % 3.99 }} {{ '%s' % [1, 2] }}",
        "{{ (1.0).is_integer() }} {{ f.is_integer() }} {{ s.split(' ')[0].lower().strip('h') }}", "{{ d.items() }} {{ d.keys() }} {{ d.values() }} {{ range(3) }} {{ range(1, 10, 2) }}", "{{ d.items()[0] }}|", "{{ range(5)[1] }} {{ range(5)[-1] }} {{ range(5, 0, -2)|list }}",
    ],
    "tests": [
        "{{ i is defined }} {{ missing is defined }} {{ missing is undefined }} {{ no is none }} {{ i is none }} {{ no is not none }} {{ d.nope is defined }} {{ d.C is defined }}",
        "{% for v in [1, 1.5, 'a', true, none, [1], (1,), {'a': 1}, missing, range(2), d.items(), l|map('abs')] %}{{ v is string }},{{ v is number }},{{ v is integer }},{{ v is float }},{{ v is boolean }},{{ v is mapping }},{{ v is iterable }},{{ v is sequence }},{{ v is callable }},{{ v is true }},{{ v is false }};{% endfor %}",
        "{{ 3 is odd }} {{ 4 is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ 'a' is eq 'a' }} {{ 1 is equalto 1 }} {{ 1 is ne 2 }} {{ 1 is lt 2 }} {{ 2 is gt 1 }} {{ 1 is le 1 }} {{ 1 is ge 2 }} {{ 1 is sameas 1 }} {{ no is sameas none }} {{ 1 is sameas true }} {{ 'a' is in 'abc' }} {{ 2 is in l }}",
        "{{ 'ab' is lower }} {{ 'AB' is upper }} {{ 'Ab' is lower }} {{ 1 is lower }} {{ range is callable }} {{ d.items is callable }} {{ 'upper' is filter }} {{ 'nope' is filter }} {{ 'odd' is test }} {{ ('a'|e) is escaped }}",
        "{{ i is not string }} {{ not i is string }} {{ i is number and i is odd }} {{ i is string or i is number }} {{ s is string and 'x' or 'y' }}", "{{ 'a' is odd }}", "{{ missing is odd }}", "{{ i is nope }}", "{% if i is nope %}{% endif %}", "{{ 1 if i is nope }}", "{{ i is string is true }}", "{{ no is divisibleby 2 }}", "{% if never %}{{ i is nope }}{{ i|nope }}{% endif %}ok", "{{ 1|nope if never else 2 }}", "{{ 1|nope }}",
    ],
    "filters on text": [
        "{{ s|upper }} {{ s|lower }} {{ 'aBC dEF'|capitalize }} {{ \"they're bill's-x (y)\"|title }} {{ 5|upper }} {{ none|lower }} {{ missing|upper }}|", "{{ '  a '|trim }}|{{ 'xax'|trim('x') }}|{{ 5|trim }}|{{ missing|trim }}|", "{{ s|replace('l', 'L') }} {{ s|replace('l', 'L', 1) }} {{ 505|replace(5, 6) }} {{ 'abc'|replace('', '-') }}",
        "{{ 'a\nb\n\nc'|indent }}|{{ 'a\nb\n\nc'|indent(2, true) }}|{{ 'a\nb\n\nc'|indent(2, blank=true) }}|{{ 'a\nb'|indent('>> ') }}|{{ 'a\n'|indent }}|{{ ''|indent(first=true) }}|{{ 'a\nb'|indent(width=1, first=true) }}|", "{{ 'foo bar baz qux'|truncate(9) }} {{ 'foo bar baz qux'|truncate(9, true) }} {{ 'foo bar baz qux'|truncate(11) }} {{ 'foo bar baz qux'|truncate(11, false, '...', 0) }} {{ u|truncate(5, true, '', 0) }}", "{{ 'abc'|truncate(2) }}", "{{ 5|truncate }}",
        "{{ 'a b  c_d, e-f é'|wordcount }} {{ ''|wordcount }} {{ 'ab'|center(6) }}| {{ '%s-%s'|format(1, 'a') }} {{ '%(x)s'|format(x=2) }} {{ 'a b/ü&?'|urlencode }} {{ {'a b': 1, 'c': 'd&'}|urlencode }} {{ 5|urlencode }}", "{{ '%s'|format }}", "{{ '%s'|format(1, x=2) }}",
        "{{ html|e }} {{ html|escape|e }} {{ html|forceescape }} {{ html|safe }} {{ (html|safe) + '<' }} {{ '<' + (html|e) }} {{ (html|safe) ~ '<' }} {{ ('<%s>'|safe) % '<' }} {{ ('<'|safe).join(['<', 'a']) }} {{ [html|e] }} {{ ('a<'|safe)|upper }} {{ ('a'|safe).replace('a', '<') }} {{ ('{}'|safe).format('<') }} {{ ('<'|e)|string + '>' }}", "{{ 5|e }} {{ none|e }} {{ missing|e }}| {{ [1, '<']|e }} {{ 5|string + 'a' }} {{ [1, 'a']|string }} {{ none|string }} {{ 1.0|string }}", "{{ d|tojson|safe }} {{ (d|tojson|safe) + '\"' }}",
        "{{ i|indent }}", "{{ missing|indent }}", "{{ s|upper(1) }}", "{{ s|trim(5) }}", "{{ s|replace('a') }}", "{{ s|replace(old='l', new='_', count=2) }}", "{{ 'ǆ'|capitalize }} {{ 'ﬁn'|title }} {{ 'İ'|lower|length }}",
    ],
    "filters on numbers": [
        "{{ -5|abs }} {{ (-5)|abs }} {{ (-2.5)|abs }} {{ true|abs }} {{ 2.5|round }} {{ 3.5|round }} {{ 2.675|round(2) }} {{ 42.55|round(1, 'floor') }} {{ 42.51|round(0, 'ceil') }} {{ 42|round }} {{ 1250|round(-2) }} {{ 1234.5|round(-2) }} {{ -2.5|round }} {{ 1e20|round(2) }} {{ 7|round(1, 'ceil') }} {{ -0.4|round(0, 'ceil') }}",
        "{{ '42'|int }} {{ ' 42 '|int }} {{ '4.7'|int }} {{ 'x'|int }} {{ 'x'|int(7) }} {{ '0x1f'|int(0, 16) }} {{ '1f'|int(0, 16) }} {{ '101'|int(base=2) }} {{ 4.9|int }} {{ -4.9|int }} {{ none|int }} {{ true|int }} {{ [1]|int(3) }} {{ '1_000'|int }} {{ ''|int }} {{ '1e3'|int }} {{ 'inf'|int(9) }} {{ '-7'|int }} {{ '+7'|int }} {{ '0b11'|int(0, 0) }} {{ '012'|int }}",
        "{{ '4.5'|float }} {{ 'x'|float }} {{ 'x'|float(1.5) }} {{ 4|float }} {{ '1e3'|float }} {{ 'inf'|float }} {{ 'nan'|float }} {{ ' -1.5 '|float }} {{ none|float }} {{ '1_0.5'|float }} {{ '.5'|float }} {{ '5.'|float }} {{ true|float }}", "{{ missing|int }}", "{{ missing|float }}", "{{ 'a'|abs }}", "{{ 'a'|round }}", "{{ 1.5|round(0, 'up') }}", "{{ missing|abs }}", "{{ 1e400|int }}", "{{ i|round('a') }}",
        "{{ [1, 2, 3]|sum }} {{ [1.5, 2]|sum }} {{ rows|sum(attribute='age') }} {{ [1, 2]|sum(start=10) }} {{ [[1], [2]]|sum(start=[]) }} {{ []|sum }}", "{{ ['a']|sum }}", "{{ ['a', 'b']|sum(start='') }}", "{{ l|min }} {{ l|max }} {{ words|min }} {{ words|max }} {{ words|max(case_sensitive=true) }} {{ rows|min(attribute='age') }} {{ []|min }}| {{ 'hello'|max }}", "{{ [1, 'a']|max }}", "{{ 5|min }}",
        "{{ l|length }} {{ s|count }} {{ u|length }} {{ d|length }} {{ missing|length }} {{ ''|length }}", "{{ 5|length }}", "{{ none|length }}", "{{ (l|map('abs'))|length }}",
    ],
    "default": [
        "{{ missing|default('d') }} {{ no|default('d') }} {{ e|default('d') }}| {{ e|default('d', true) }} {{ no|default('d', boolean=true) }} {{ missing|default }}| {{ missing|d(5) }} {{ i|default('d') }} {{ d.nope|default([]) }} {{ missing|default(default_value='q') }} {{ never|d('x', true) }} {{ missing|default(none) }}", "{{ missing.x|default('d') }}", "{{ d.nope.x|default('d') }}", "{{ (missing|default({})).x }}|", "{{ missing is defined and missing.x }} {{ missing and missing.x }}|",
    ],
    "json": [
        "{{ d|tojson }} {{ mixed|tojson }} {{ u|tojson }} {{ u|tojson(ensure_ascii=true) }} {{ quotes|tojson }} {{ html|tojson }} {{ 1.0|tojson }} {{ big|tojson }} {{ (1, 2)|tojson }} {{ {}|tojson }} {{ []|tojson }} {{ none|tojson }} {{ true|tojson }} {{ '😀'|tojson(true) }} {{ '\\x7f\\x80'|tojson(true) }}",
        "{{ nested|tojson(indent=2) }}\n{{ nested|tojson(indent=0) }}\n{{ [[], {}, [1]]|tojson(indent=4) }}\n{{ l|tojson(indent='--') }}\n{{ l|tojson(indent=none) }}\n{{ [1]|tojson(indent=-3) }}", "{{ d|tojson(separators=(',', ':')) }} {{ l|tojson(separators=(',', ':'), indent=1) }} {{ d|tojson(sort_keys=true) }} {{ {'b': {'d': 1, 'c': 2}, 'a': 0}|tojson(sort_keys=true, indent=1) }} {{ {1: 'a', none: 'b', true: 'c', 1.5: 'd'}|tojson }} {{ d|tojson(false, 1) }}",
        "{{ missing|tojson }}", "{{ range(3)|tojson }}", "{{ d.items()|tojson }}", "{{ namespace(a=1)|tojson }}", "{{ {(1, 2): 3}|tojson }}", "{{ {'a': missing}|tojson }}", "{{ l|tojson(sep=1) }}", "{{ l|tojson(separators=',') }}", "{{ (l|map('string')|list)|tojson }} {{ d.items()|list|tojson }} {{ ('<'|e)|tojson }} {{ 'inf'|float|tojson }} {{ 'nan'|float|tojson }}",
    ],
    "sequences": [
        "{{ l|first }} {{ l|last }} {{ []|first }}| {{ []|last }}| {{ s|first }} {{ s|last }} {{ d|first }} {{ l|reverse|list }} {{ s|reverse }} {{ d|last }} {{ missing|first }}| {{ (1, 2)|last }} {{ range(4)|last }} {{ d.items()|list|last }} {{ d.items()|last }}", "{{ l|list }} {{ 'abc'|list }} {{ d|list }} {{ missing|list }} {{ range(3)|list }} {{ d|items|list }} {{ missing|items|list }} {{ d.items()|list }}", "{{ 5|list }}", "{{ none|first }}", "{{ 5|reverse }}", "{{ l|items|list }}", "{{ (l|map('abs'))|last }}", "{{ (l|map('abs'))|reverse|list }} {{ (l|reverse|list)[0] }} {{ l|reverse|first }}",
        "{{ l|join }} {{ l|join(', ') }} {{ mixed|join('|') }} {{ rows|join(', ', attribute='n') }} {{ 'abc'|join('-') }} {{ d|join(',') }} {{ missing|join }}| {{ [1, [2]]|join(d=';') }} {{ l|join(0) }} {{ l|join(none) }}", "{{ 5|join }}", "{{ none|join }}",
        "{{ l|sort }} {{ words|sort }} {{ words|sort(case_sensitive=true) }} {{ l|sort(reverse=true) }} {{ rows|sort(attribute='age')|map(attribute='n')|list }} {{ rows|sort(attribute='age,n', reverse=true)|map(attribute='n')|join(',') }} {{ 'hello'|sort|join }} {{ d|sort }} {{ [[2, 'a'], [1, 'b']]|sort(attribute=1) }} {{ [(2, 'a'), (1, 'b')]|sort }}", "{{ [1, 'a']|sort }}", "{{ [{}, {}]|sort }}", "{{ [{'a': 1}, {}]|sort }}", "{{ 5|sort }}",
        "{{ d|dictsort }} {{ d|dictsort(true) }} {{ {'b': 2, 'a': 3}|dictsort(by='value') }} {{ {'b': 2, 'a': 3}|dictsort(reverse=true) }} {{ {2: 'x', 1: 'y'}|dictsort(false, 'value') }}", "{{ d|dictsort(by='x') }}", "{{ l|dictsort }}", "{{ {1: 1, 'a': 2}|dictsort }}", "{{ words|unique|list }} {{ ['a', 'A', 'b']|unique(true)|list }} {{ rows|unique(attribute='age')|map(attribute='n')|list }} {{ [1, 1.0, true]|unique|list }}", "{{ [[1]]|unique|list }}",
        "{{ rows|groupby('age')|map('first')|list }} {% for age, people in rows|groupby('age') %}{{ age }}:{{ people|map(attribute='n')|join('+') }};{% endfor %} {% for g in rows|groupby('ok', default='?', case_sensitive=true) if never %}{% endfor %}{% for g in words|groupby(0) %}{{ g.grouper }}={{ g.list }} {{ g[0] }};{% endfor %} {{ ['b', 'a', 'B']|groupby(attribute=0) }}", "{{ rows|groupby('zzz') }}", "{{ [1, 2, 3, 4, 5]|batch(2)|list }} {{ [1, 2, 3]|batch(2, 'x')|list }} {{ [1, 2, 3, 4, 5]|slice(3)|list }} {{ [1, 2, 3, 4]|slice(3, 'x')|list }} {{ []|batch(2)|list }} {{ []|slice(2)|list }} {{ [1, 2]|batch(0)|list }}", "{{ [1]|slice(0)|list }}",
        "{{ words|map('upper')|list }} {{ rows|map(attribute='n')|join }} {{ rows|map(attribute='ok', default='?')|list }} {{ [[1, 2], [3]]|map('first')|list }} {{ [1.256, 2]|map('round', 1)|list }} {{ [{'a': {'b': 1}}]|map(attribute='a.b')|list }} {{ none|map('upper')|list }} {{ ['a', none]|map('default', 'x', true)|list }} {{ [[3, 1]]|map('sort', reverse=true)|list }} {{ words|map('replace', 'a', 'o')|list }}", "{{ words|map('nope')|list }}", "{{ []|map('nope')|list }}", "{{ words|map|list }}", "{{ words|map(attribute='x', foo=1)|list }}", "{{ 5|map('abs')|list }}",
        "{{ [1, 2, 3]|select('odd')|list }} {{ [0, 1, '']|select|list }} {{ [1, 2, 3]|reject('odd')|list }} {{ [1, 2, 3]|select('gt', 1)|list }} {{ rows|selectattr('ok')|map(attribute='n')|list }} {{ rows|rejectattr('ok')|map(attribute='n')|list }} {{ rows|selectattr('age', 'equalto', 30)|list|length }} {{ rows|selectattr('ok', 'defined')|list|length }} {{ rows|rejectattr('age', 'in', [30])|map(attribute='n')|list }} {{ ['a', 'b']|reject('equalto', 'a')|list }} {{ rows|selectattr('n', 'string')|list|length }} {{ rows|selectattr('ok', 'undefined')|list|length }} {{ mixed|reject('none')|list }}", "{{ l|select('nope')|list }}", "{{ rows|selectattr|list }}", "{{ none|select|list }} {{ ''|select('odd')|list }}", "{{ 5|select|list }}",
        "{{ d|attr('b') }}| {{ s|attr('upper') is defined }} {{ l|attr('append') }}| {{ rows[0]|attr('n') }}|", "{{ (rows|selectattr('ok'))|first }} {{ rows|map(attribute='age')|sort|last }} {{ rows|map(attribute='age')|unique|sum }} {{ (rows|map(attribute='n')|list)[-1] }}",
    ],
    "set and scope": [
        "{% set x = 1 %}{{ x }}{% set x = x + 1 %}{{ x }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set (c, d2) = [3, 4] %}{{ c }}{{ d2 }}{% set a, b = b, a %}{{ a }}{{ b }}", "{% set x = 0 %}{% for y in l %}{% set x = x + y %}{{ x }},{% endfor %}{{ x }}", "{% for y in l %}{% if loop.first %}{% set q = y %}{% endif %}{{ q }},{% endfor %}|{{ q }}", "{% if yes %}{% set i = 9 %}{% endif %}{{ i }}{% if never %}{% set f = 9 %}{% else %}{{ f }}{% endif %}{{ f }}",
        "{% for y in l %}{{ i }}{% set i = y %}{{ i }};{% endfor %}{{ i }}", "{% set ns = namespace(n=0, s='') %}{% for y in l %}{% set ns.n = ns.n + y %}{% set ns.s = ns.s ~ y %}{% endfor %}{{ ns.n }} {{ ns.s }} {{ ns.missing }}| {{ ns }} {{ ns['n'] }} {{ namespace({'a': 1}, b=2) }}", "{% set x %}a{{ i }}b{% endset %}[{{ x }}]{% set x|upper|replace('A', 'Q') %}a{{ i }}{% endset %}{{ x }}{% set ns = namespace() %}{% set ns.t %}blk{% endset %}{{ ns.t }}", "{% set i %}<{{ i }}>{% endset %}{{ i }}", "{% with a = 1, b = i %}{{ a }}{{ b }}{% set z = 5 %}{% endwith %}{{ z }}|{{ a }}|{% with i = i + 1 %}{{ i }}{% with %}{{ i }}{% endwith %}{% endwith %}{{ i }}", "{% with a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% endwith %}{% endwith %}",
        "{% macro show() %}{{ i }}{{ late }}{% endmacro %}{{ show() }}{% set i = 1 %}{% set late = 2 %}{{ show() }}", "{% filter upper %}a{{ s }}{% set w = 1 %}{% endfilter %}{{ w }}|{% filter replace('a', 'b')|upper %}aa{% endfilter %}", "{% print i, s %}", "{% if yes %}{% for x in l %}{% set k = x %}{% endfor %}{% endif %}{{ k }}|", "{% set x = 1 %}{% macro m() %}{% set x = x + 1 %}{{ x }}{% endmacro %}{{ m() }}{{ m() }}{{ x }}", "{% for a in [1, 2] %}{% for b in [1, 2] %}{% set t = a * b %}{{ t }}{% endfor %}{{ t }};{% endfor %}", "{% generation %}{% set g = 1 %}x{{ g }}{% endgeneration %}{{ g }}|", "{% for x in l %}{% generation %}{{ loop.index }}{% endgeneration %}{% endfor %}",
        "{% set d.x = 1 %}", "{% set nope.x = 1 %}", "{% set a, b = [1] %}", "{% set a, b = 5 %}", "{% set 5 = 1 %}", "{% set none = 1 %}", "{% set l[0] = 1 %}", "{% set a.b.c = 1 %}", "{% set x %}", "{% set %}", "{% set x = %}", "{% set ns = namespace() %}{% set ns.a, y = 1, 2 %}{{ ns.a }}{{ y }}", "{% if never %}{% elif yes %}{% set j = 1 %}{% else %}{% set j = 2 %}{% endif %}{{ j }}", "{% if never %}{% set i = 1 %}{% elif never %}{% set i = 2 %}{% endif %}{{ i }}",
    ],
    "loops": [
        "{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('a', 'b') }}{{ loop.depth }}{{ loop.depth0 }};{% endfor %}", "{% for x in [1, 1, 2, 2] %}{{ loop.changed(x) }}{{ loop.previtem is defined }},{% endfor %}", "{% for x in [] %}a{% else %}b{% endfor %}{% for x in l %}{{ x }}{% else %}b{% endfor %}{% for x in missing %}a{% else %}u{% endfor %}", "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }}{% endfor %}{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}{% for c in 'añ' %}{{ c }}.{% endfor %}",
        "{% for x in range(10) if x is odd %}{{ loop.index }}:{{ x }}{{ ',' if not loop.last }}{% endfor %}{% for x in l if x > 5 %}{% else %}none{% endfor %}{% for x in range(6) if x % 2 %}{{ loop.length }}{{ loop.revindex }}{% endfor %}", "{% for x in range(10) %}{% if x == 3 %}{% continue %}{% endif %}{% if x == 6 %}{% break %}{% endif %}{{ x }}{% endfor %}", "{% for x in [1, 2] %}{% break %}{% else %}else{% endfor %}|{% for x in [1] %}{% continue %}{% else %}else{% endfor %}|{% for x in [1, 2] %}{% if x == 2 %}{% break %}{% endif %}{% else %}else{% endfor %}", "{% for x in l %}{% for y in l %}{% if y == x %}{% break %}{% endif %}{{ x }}{{ y }}{{ loop.index }},{% endfor %}{{ loop.index }};{% endfor %}", "{% for x in l %}{% set z %}{{ x }}{% if x == 1 %}{% continue %}{% endif %}{% endset %}[{{ z }}]{% endfor %}", "{% for x in l %}{% filter upper %}a{% break %}{% endfilter %}{% endfor %}done",
        "{% for x in [1, [2, [3]]] recursive %}{{ loop.depth }}{% if x is iterable %}<{{ loop(x) }}>{% else %}{{ x }}{% endif %}{% endfor %}", "{% for x in [{'n': 'a', 'c': [{'n': 'b', 'c': []}]}] recursive %}{{ x.n }}{{ loop.index }}({{ loop(x.c) }}){% else %}-{% endfor %}", "{% set ns = namespace(go=true) %}{% for x in range(9) if ns.go %}{{ x }}{% if x == 2 %}{% set ns.go = false %}{% endif %}{% endfor %}", "{% for m in l|reverse %}{{ m }}{{ loop.index }}{{ loop.last }}{% endfor %}{% for m in l|map('string') %}{{ m }}{{ loop.last }}{{ loop.length }}{% endfor %}", "{% for x in l %}{{ loop|length }}{% endfor %}", "{{ loop }}|{{ loop is defined }}", "{{ loop.index }}", "{% for x in l %}{% macro m() %}{{ loop.index }}{{ x }}{% endmacro %}{{ m() }}{% endfor %}", "{% for x in l recursive %}{% for y in [1] %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}",
        "{% for loop in l %}{% endfor %}", "{% for x in l %}{% set loop = 1 %}{% endfor %}", "{% for x, y in l %}{% endfor %}", "{% for x in 5 %}{% endfor %}", "{% for x in none %}{% endfor %}", "{% for x in l %}", "{% for x l %}{% endfor %}", "{% break %}", "{% for x in l %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}", "{% for x in l %}{{ loop(l) }}{% endfor %}", "{% for x in l %}{{ loop.cycle() }}{% endfor %}", "{% for x in l %}{{ loop.nope }}|{% endfor %}", "{% for x in l %}{{ x }}{% endfor %}{{ x }}|{% for i in l %}{{ i }}{% endfor %}{{ i }}", "{% for x in 1, 2, 3 %}{{ x }}{% endfor %}{% for x, in [[1], [2]] %}{{ x }}{% endfor %}",
        "{% set c = cycler('a', 'b', 'c') %}{{ c.next() }}{{ c.current }}{{ c.next() }}{{ c.reset() }}{{ c.next() }}{% set j = joiner('; ') %}{% for x in l %}{{ j() }}{{ x }}{% endfor %}", "{{ cycler() }}", "{{ range(100001) }}", "{{ range(1, 2, 0) }}", "{{ range() }}", "{{ range('a') }}", "{{ range(3, a=1) }}", "{{ dict(a=1, b=2) }} {{ dict({'a': 1}, b=2) }} {{ dict([('x', 1)]) }} {{ dict() }}", "{{ range(5)|sum }} {{ range(0) | list }} {{ range(-3, 3, 2)|list }} {{ range(3)|map('string')|join(',') }} {{ 3 in range(0, 10, 2) }} {{ range(3) == range(0, 3) }}",
    ],
    "macros": [
        "{% macro m(a, b=2, c='x') %}{{ a }}-{{ b }}-{{ c }};{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(c='z', a=0) }}{{ m() }}{{ m(b=5) }}", "{% macro m(a, b=a, c=i) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}", "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}{{ m() }}", "{% macro m(x) %}[{{ caller() }}{{ x }}]{% endmacro %}{% call m(1) %}body{{ i }}{% endcall %}", "{% macro m(xs) %}{% for x in xs %}{{ caller(x, loop.index) }}{% endfor %}{% endmacro %}{% call(a, b=0) m(l) %}<{{ a }}{{ b }}>{% endcall %}", "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}", "{% macro a() %}A{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}", "{% macro m() %} x {% endmacro %}[{{ m()|trim }}] {{ m() is string }} {{ m.name }} {{ m.arguments }} {{ m is callable }} {{ m() ~ 1 }}", "{% macro m(caller=none) %}{% if caller %}{{ caller() }}{% else %}no{% endif %}{% endmacro %}{{ m() }}{% call m() %}yes{% endcall %}", "{% macro outer(x) %}{% macro inner(y) %}{{ x }}{{ y }}{% endmacro %}{{ inner(1) }}{{ inner(2) }}{% endmacro %}{{ outer('o') }}", "{% macro m(a) %}{{ a.b }}|{{ a is defined }}{% endmacro %}{{ m({'b': 1}) }}", "{% set ns = namespace(n=0) %}{% macro inc() %}{% set ns.n = ns.n + 1 %}{% endmacro %}{{ inc() }}{{ inc() }}{{ ns.n }}", "{% macro m(*args) %}{% endmacro %}", "{% macro m(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(*[1, 2]) }}{{ m(**{'a': 3, 'b': 4}) }}{{ m(1, *[2]) }}",
        "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{% endmacro %}{{ m(b=1) }}", "{% macro m(a=1, b) %}{% endmacro %}", "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}", "{% macro m(a) %}{{ a.x }}{% endmacro %}{{ m() }}", "{% call i %}{% endcall %}", "{% call m() %}{% endcall %}", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{{ i() }}", "{{ missing() }}", "{{ 'a'() }}", "{{ m(a=1, a=2) }}", "{{ range(**{'a': 1}) }}", "{{ range(*5) }}", "{% macro %}{% endmacro %}", "{% macro m() %}", "{% call m(%}{% endcall %}",
    ],
    "statements": [
        "{% if i == 5 %}five{% elif i == 6 %}six{% else %}other{% endif %}", "{% if missing %}a{% elif l %}b{% endif %}{% if not empty %}c{% endif %}", "{% if i %}{% if never %}x{% else %}y{% endif %}{% endif %}", "{% if i: %}a{% endif %}", "{% if i, %}t{% endif %}", "{% if %}{% endif %}", "{% else %}", "{% endif %}", "{% if i %}", "{% if i %}{% endfor %}", "{% foo %}", "{% do l %}", "{% %}", "{{ }}", "{% if i %}a{% else %}b{% elif x %}c{% endif %}", "{% 'a' %}", "{% if i = 5 %}{% endif %}", "{{ i i }}", "{{ not }}", "{{ a. }}", "{{ a.'b' }}", "{{ l[ }}", "{{ f(1 2) }}", "{{ f(a=1, 2) }}", "{{ {'a' 1} }}", "{{ raise_exception('Stop: ' ~ i) }}", "{% if never %}{{ raise_exception('x') }}{% endif %}ok", "{{ raise_exception() }}", "{{ strftime_now('%Y-%m-%d %H:%M:%S %d %b %Y %B %A %j %%') }}", "{{ strftime_now('') }}|", "{{ missing }}|{{ missing|string }}|{{ [missing] }}|{{ d.nope }}", "{{ [] }}{{ i|string|length }}", "{{ d.nope() }}", "{{ lipsum is defined or true }}",
        "{% include 'x' %}", "{{ i|upper|lower|trim }} {{ (i|string)|upper }} {{ -i|abs }} {{ 'a' ~ i|string ~ 'b'|upper }} {{ i + 2|abs }} {{ not i|default(false) }} {{ l|length > 2 and s|length }} {{ l|map('string')|join('a' ~ 'b') }}",
    ],
    "models": [],
}

# Templates of our own in the manner of the formats that open-weight models use.
MODELS = {
    "chatml": "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "headers with tools and a date": """{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if messages and messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|header|>system<|end|>\\n\\nToday Date: " + date_string + "\\n" }}
{%- if tools is not none %}
    {{- "Respond with {\\"name\\": ..., \\"parameters\\": ...}.\\n\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}<|eot|>
{%- for message in messages %}
    {%- if not (message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|header|>' + message['role'] + '<|end|>\\n\\n' + message['content'] | trim + '<|eot|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("Only one call at a time, not " ~ message.tool_calls|length) }}
        {%- endif %}
        {%- set call = message.tool_calls[0].function %}
        {{- '{"name": "' + call.name + '", "parameters": ' + call.arguments | tojson + '}<|eot|>' }}
    {%- else %}
        {{- "<|header|>tool<|end|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}{{ message.content | tojson }}{% endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|header|>assistant<|end|>\\n\\n' }}{%- endif %}
""",
    "instructions in turn": """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{#- Calls and their results do not count. #}
{%- set ns = namespace(index=0) %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("Roles must alternate, found " + message["role"] + " twice") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}{{- '"' + key + '": "' + val + '"' }}{%- else %}{{- '"' + key + '": ' + val|tojson }}{%- endif %}
                    {%- if not loop.last %}{{- ", " }}{%- endif %}
                {%- endfor %}
                {{- "}}" }}{{- ", " if not loop.last else "]" }}
            {%- endfor %}
            {{- "[/TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST]" + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST]" + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}{{- ', "id": "' + tool_call.id + '"}' }}{{- ", " if not loop.last else "]" + eos_token }}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token }}
    {%- elif message["role"] == "tool" %}
        {%- if message.content is defined and message.content.content is defined %}
            {%- set content = message.content.content %}
        {%- else %}
            {%- set content = message.content %}
        {%- endif %}
        {{- '[RESULT] {"content": ' + content|string + "}[/RESULT]" }}
    {%- else %}
        {{- raise_exception("Only user, assistant and tool roles are known") }}
    {%- endif %}
{%- endfor %}
""",
    "reasoning before the last query": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
    {{- "# Tools\\n\\n<tools>" }}
    {%- for tool in tools %}{{- "\\n" }}{{- tool | tojson }}{%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- elif messages and messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(searching=true, last_query=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.searching and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.searching = false %}
        {%- set ns.last_query = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}{%- set content = message.content %}{%- else %}{%- set content = '' %}{%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query and (loop.last or (not loop.last and reasoning_content)) %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- for tool_call in message.tool_calls or [] %}
            {%- if (loop.first and content) or (not loop.first) %}{{- '\\n' }}{%- endif %}
            {%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}
            {{- '<tool_call>\\n{"name": "' }}{{- tool_call.name }}{{- '", "arguments": ' }}
            {%- if tool_call.arguments is string %}{{- tool_call.arguments }}{%- else %}{{- tool_call.arguments | tojson }}{%- endif %}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<tool_response>\\n' }}{{- content }}{{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}
""",
    "turns with parts": """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set prefix = messages[0]['content'] + '\n\n' -%}
    {%- else -%}
        {%- set prefix = messages[0]['content'][0]['text'] + '\n\n' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate") }}
    {%- endif -%}
    {%- set role = "model" if message['role'] == 'assistant' else message['role'] -%}
    {{ '<turn>' + role + '\n' + (prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}{{ '<image>' }}{%- elif item['type'] == 'text' -%}{{ item['text'] | trim }}{%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '</turn>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<turn>model\n' }}{%- endif -%}
""",
    "types written by macros": """{%- macro type_of(spec, required, nullable=false) -%}
    {%- if spec.type == "array" -%}
        {%- if spec['items'] -%}
            {{- type_of(spec['items'], required) + "[]" }}
        {%- else -%}
            {{- "any[]" }}
        {%- endif -%}
    {%- elif spec.type is defined and spec.type is iterable and spec.type is not string and spec.type is not mapping -%}
        {{- spec.type | join(" | ") }}
    {%- elif spec.type == "string" -%}
        {%- if spec.enum -%}{{- '"' + spec.enum|join('" | "') + '"' -}}{%- else -%}{{- "string" }}{%- endif -%}
    {%- elif spec.type in ["number", "integer"] -%}
        {{- "number" }}
    {%- elif spec.type == "object" -%}
        {%- if spec.properties -%}
            {{- "{" }}
            {%- for name, child in spec.properties.items() -%}
                {{- name }}{%- if name not in (spec.required or []) -%}{{- "?" }}{%- endif -%}{{- ": " }}{{ type_of(child, spec.required or []) }}
                {%- if not loop.last -%}{{- ", " }}{%- endif -%}
            {%- endfor -%}
            {{- "}" }}
        {%- else -%}
            {{- "object" }}
        {%- endif -%}
    {%- else -%}
        {{- "any" }}
    {%- endif -%}
    {%- if nullable or spec.nullable -%}{{- " | null" }}{%- endif -%}
{%- endmacro -%}
{%- macro declare(name, tools) -%}
    {{- "namespace " + name + " {\\n" }}
    {%- for tool in tools %}
        {%- set tool = tool.function %}
        {{- "// " + tool.description + "\\ntype " + tool.name + " = " }}
        {%- if tool.parameters and tool.parameters.properties %}
            {{- "(_: {\\n" }}
            {%- for name, spec in tool.parameters.properties.items() %}
                {%- if spec.description %}{{- "// " + spec.description + "\\n" }}{%- endif %}
                {{- name }}{%- if name not in (tool.parameters.required or []) %}{{- "?" }}{%- endif %}{{- ": " + type_of(spec, tool.parameters.required or []) }}
                {%- if spec.default is defined %}{{- ", // default: " + spec.default|tojson }}{%- endif %}
                {{- ",\\n" }}
            {%- endfor %}
            {{- "}) => any;\\n" }}
        {%- else %}
            {{- "() => any;\\n" }}
        {%- endif %}
    {%- endfor %}
    {{- "}" }}
{%- endmacro -%}
{%- if reasoning_effort is not defined %}{%- set reasoning_effort = "medium" %}{%- endif %}
{{- "<|start|>system<|message|>Date: " + strftime_now("%Y-%m-%d") + "\\nReasoning: " + reasoning_effort + "<|end|>" }}
{%- if tools %}{{- "<|start|>developer<|message|>" + declare("functions", tools) + "<|end|>" }}{%- endif %}
{%- set last_tool_call = namespace(name=none) %}
{%- for message in messages -%}
    {%- if message.role == 'assistant' -%}
        {%- if message.tool_calls -%}
            {%- set call = message.tool_calls[0].function -%}
            {{- "<|start|>assistant to=functions." + call.name + "<|message|>" + call.arguments|tojson + "<|call|>" }}
            {%- set last_tool_call.name = call.name %}
        {%- else -%}
            {{- "<|start|>assistant<|channel|>final<|message|>" + message.content + "<|end|>" }}
            {%- set last_tool_call.name = none %}
        {%- endif -%}
    {%- elif message.role == 'tool' -%}
        {%- if last_tool_call.name is none %}{{- raise_exception("A result without a call") }}{%- endif %}
        {{- "<|start|>functions." + last_tool_call.name + "<|message|>" + message.content|tojson + "<|end|>" }}
    {%- elif message.content is string -%}
        {{- "<|start|>" + message.role + "<|message|>" + message.content + "<|end|>" }}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|start|>assistant{%- endif -%}
""",
    "states in a namespace": """{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, is_tool=false, is_output_first=true, system_prompt='') %}{%- for message in messages %}{%- if message['role'] == 'system' %}{% set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}{{ bos_token }}{{ ns.system_prompt }}{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{ '<|User|>' + (message['content'] if message['content'] is string else message['content']|selectattr('type', 'equalto', 'text')|map(attribute='text')|join) }}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is none %}{%- set ns.is_tool = false -%}{%- for tool in message['tool_calls'] %}{%- if not ns.is_first %}{{ '<|Assistant|><|calls|>' + tool['type'] + '<|sep|>' + tool['function']['name'] + '\n```json\n' + tool['function']['arguments']|tojson + '\n```' }}{%- set ns.is_first = true -%}{%- else %}{{ '\n' + tool['function']['name'] }}{%- endif %}{%- endfor %}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is not none %}{%- if ns.is_tool %}{{ '<|outputs end|>' + message['content'] }}{%- set ns.is_tool = false -%}{%- else %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{ '<|Assistant|>' + content + eos_token }}{%- endif %}{%- endif %}{%- if message['role'] == 'tool' %}{%- set ns.is_tool = true -%}{%- if ns.is_output_first %}{{ '<|outputs|>' }}{%- set ns.is_output_first = false %}{%- endif %}{{ '<|output|>' + message['content'] }}{%- endif %}{%- endfor -%}{% if ns.is_tool %}{{ '<|outputs end|>' }}{% endif %}{% if add_generation_prompt and not ns.is_tool %}{{ '<|Assistant|>' }}{% endif %}""",
    "visible text": """[gMASK]<sop>
{%- if tools -%}
<|system|>
# Tools
{% for tool in tools %}
{{ tool | tojson(ensure_ascii=False) }}
{% endfor %}
{%- endif -%}
{%- macro visible_text(content) -%}
    {%- if content is string -%}
        {{- content }}
    {%- elif content is iterable and content is not mapping -%}
        {%- for item in content -%}
            {%- if item is mapping and item.type == 'text' -%}{{- item.text }}{%- elif item is string -%}{{- item }}{%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{- content }}
    {%- endif -%}
{%- endmacro -%}
{%- set ns = namespace(last_user_index=-1) %}
{%- for m in messages %}
    {%- if m.role == 'user' %}
        {% set ns.last_user_index = loop.index0 -%}
    {%- endif %}
{%- endfor %}
{% for m in messages %}
{%- if m.role == 'user' -%}<|user|>
{{ visible_text(m.content) }}
{{- '/nothink' if (enable_thinking is defined and not enable_thinking and not visible_text(m.content).endswith("/nothink")) else '' -}}
{%- elif m.role == 'assistant' -%}
<|assistant|>
{%- set reasoning_content = '' %}
{%- set content = visible_text(m.content) %}
{%- if m.reasoning_content is string %}
    {%- set reasoning_content = m.reasoning_content %}
{%- elif '</think>' in content %}
    {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
    {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
{%- endif %}
{%- if loop.index0 > ns.last_user_index and reasoning_content -%}
{{ '\\n<think>' + reasoning_content.strip() +  '</think>'}}
{%- else -%}
{{ '\\n<think></think>' }}
{%- endif -%}
{%- if content.strip() -%}{{ '\\n' + content.strip() }}{%- endif -%}
{% if m.tool_calls %}
{% for tc in m.tool_calls %}
{%- if tc.function %}{%- set tc = tc.function %}{%- endif %}
{{ '\\n<tool_call>' + tc.name }}
{% set _args = tc.arguments %}
{% for k, v in _args.items() %}
<arg_key>{{ k }}</arg_key>
<arg_value>{{ v | tojson(ensure_ascii=False) if v is not string else v }}</arg_value>
{% endfor %}
</tool_call>{% endfor %}
{% endif %}
{%- elif m.role == 'tool' -%}
{%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}{{- '<|observation|>' }}{%- endif %}
{{- '\\n<tool_response>\\n' ~ m.content ~ '\\n</tool_response>' }}
{%- elif m.role == 'system' -%}
<|system|>
{{ visible_text(m.content) }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|assistant|>{{- '\\n<think></think>' if (enable_thinking is defined and not enable_thinking) else '' -}}{%- endif -%}
""",
    "sorted parameters": """{%- macro argument(value, quoted=True) -%}
    {%- if value is string -%}{{- '<q>' + value + '<q>' -}}
    {%- elif value is boolean -%}{{- 'true' if value else 'false' -}}
    {%- elif value is mapping -%}
        {{- '{' -}}
        {%- set ns = namespace(found=false) -%}
        {%- for key, item in value | dictsort -%}
            {%- if ns.found %},{% endif -%}
            {%- set ns.found = true -%}
            {{- '<q>' + key + '<q>' if quoted else key -}}:{{- argument(item, quoted=quoted) -}}
        {%- endfor -%}
        {{- '}' -}}
    {%- elif value is sequence -%}[{%- for item in value -%}{{- argument(item, quoted=quoted) -}}{%- if not loop.last %},{% endif -%}{%- endfor -%}]
    {%- else -%}{{- value -}}{%- endif -%}
{%- endmacro -%}
{{ bos_token }}
{%- for tool in tools or [] %}{{- argument(tool.function.parameters) -}}{% endfor %}
{%- for message in messages -%}
    {%- for call in message['tool_calls'] or [] -%}{{- call['function']['name'] + argument(call['function']['arguments'], quoted=False) -}}{%- endfor -%}
    {%- if message.get('content') is string -%}{{- message.content | trim -}}{%- endif -%}
{%- endfor -%}
""",
}
for name, template in MODELS.items():
    for context in CONTEXTS:
        if context != "plain":
            CASES["models"].append((context, template))
