//! One table for each language: a file's tests, and what the mutated line of each looks like.

use crate::language;
use crate::lex::lex;
use crate::oracle;
use crate::source::Source;

/// One line for each mutant: the test's name, and the mutated line. What each mutant gives
/// must still be read as the language.
pub fn mutated(path: &str, text: &str) -> String {
    let language = language::of(path).expect("a language");
    let source = match Source::read(text, language) {
        Ok(source) => source,
        Err(error) => return format!("{} at {}", error.what, error.at),
    };
    let found = oracle::find(&source, path.starts_with("script"));
    let mut out = Vec::new();
    for candidate in found.candidates {
        let (start, end) = candidate.edit.range;
        let mutated = [&text[..start], &candidate.edit.text, &text[end..]].concat();
        lex(&mutated, &language.rules).expect("it is still read");
        let line = source.lines.of(start) as usize;
        let shown = mutated.lines().nth(line - 1).unwrap_or_default().trim();
        out.push(format!("{}: {shown}", candidate.test.join("/")));
    }
    out.join("\n")
}

#[track_caller]
fn check(path: &str, text: &str, expected: &str) {
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let got = mutated(path, text);
    assert_eq!(got.lines().collect::<Vec<_>>(), expected, "{path}\n{text}");
}

#[test]
fn pytest() {
    check(
        "tests/test_a.py",
        r#"
import pytest
from money import add, Money

def helper(x):
    assert x == 1

def test_number():
    assert add(2, 2) == 4

def test_message():
    assert add(2, 2) == 4, "2 == 3"

def test_yoda():
    assert 4 == add(2, 2)

def test_text():
    name = "x"
    assert greet(name) == "hello x"

def test_list():
    assert split("a,b") == ["a", "b"]

def test_dict():
    assert parse("a=1") == {"a": 1, "b": [2, 3]}

def test_bool():
    assert is_even(2) is True

def test_plain():
    assert is_even(2)

def test_not():
    assert not is_even(3)

def test_both():
    assert add(1, 1) == 2 and add(2, 2) == 4

def test_either():
    assert add(1, 1) == 2 or add(2, 2) == 4

def test_none():
    assert find("x") is None
    assert find("y") == None

def test_approx():
    assert add(0.1, 0.2) == pytest.approx(0.3)

def test_raises():
    with pytest.raises(ValueError, match="no"):
        add("a", 1)
        assert 1 == 2

def test_variable():
    expected = [1, 2]
    got = f()
    assert got == expected

def test_input_too():
    text = "abc"
    assert f(text) == text

@pytest.mark.parametrize("a, b, expected", [(1, 1, 2), (2, 2, 4)])
def test_table(a, b, expected):
    assert add(a, b) == expected

@pytest.mark.parametrize("value", [1, 2])
def test_identity(value):
    assert same(value) == value

@pytest.mark.skip
def test_skipped():
    assert 1 == 2

def test_branch():
    if sys.platform == "win32":
        assert f() == 1
    else:
        assert f() == 2

def test_loop():
    for x in []:
        assert f(x) == 1
    assert g() == "done"

def test_in_loop_alone():
    for x in xs():
        assert f(x) == 1

def test_dead():
    return
    assert f() == 1

def test_multiline():
    assert f(
        1,
    ) == [
        1,  # one
        2,
    ]

def test_money():
    assert Money(1).add(Money(2)) == Money(3)

def test_text_in():
    assert "hello" in greet()

def test_not_equal():
    assert f() != 4

def test_fstring():
    assert greet(n) == f"hi {n['a']}"

def test_index():
    assert rows[0] == rows[1]

def test_len():
    assert len(rows) == 0

class TestBox:
    def test_inside(self):
        assert Box(1).get() == 1

    class TestDeep:
        async def test_deeper(self):
            assert await f() == b"raw"
"#,
        r#"
        test_number: assert add(2, 2) == 5
        test_message: assert add(2, 2) == 5, "2 == 3"
        test_yoda: assert 5 == add(2, 2)
        test_text: assert greet(name) == "hello y"
        test_list: assert split("a,b") == ["b", "b"]
        test_dict: assert parse("a=1") == {"a": 2, "b": [2, 3]}
        test_bool: assert not (is_even(2) is True)
        test_plain: assert not (is_even(2))
        test_not: assert not (not is_even(3))
        test_both: assert add(1, 1) == 3 and add(2, 2) == 4
        test_either: assert not (add(1, 1) == 2 or add(2, 2) == 4)
        test_none: assert find("y") == 1
        test_approx: assert add(0.1, 0.2) == pytest.approx(1.3)
        test_raises: with pytest.raises(ZeroDivisionError, match="no"):
        test_variable: expected = [2, 2]
        test_input_too: assert f(text) != text
        test_table: @pytest.mark.parametrize("a, b, expected", [(1, 1, 3), (2, 2, 4)])
        test_identity: assert same(value) != value
        test_loop: assert g() == "donf"
        test_in_loop_alone: assert f(x) == 2
        test_multiline: 2,  # one
        test_money: assert Money(1).add(Money(2)) == Money(4)
        test_text_in: assert "hellp" in greet()
        test_not_equal: assert f() == 4
        test_fstring: assert greet(n) == f"hi {n['a']}x"
        test_index: assert rows[0] != rows[1]
        test_len: assert len(rows) == 1
        TestBox/test_inside: assert Box(1).get() == 2
        TestBox/TestDeep/test_deeper: assert await f() == b"rax"
        "#,
    );
}

#[test]
fn unittest() {
    check(
        "tests/test_b.py",
        r#"
class MoneyTest(unittest.TestCase):
    def setUp(self):
        self.assertEqual(1, 1)

    def test_equal(self):
        self.assertEqual(add(2, 2), 4)

    def test_equal_swapped(self):
        self.assertEqual(4, add(2, 2))

    def test_equal_names(self):
        self.assertEqual(a(), b())

    def test_true(self):
        self.assertTrue(is_even(2))

    def test_true_compared(self):
        self.assertTrue(add(2, 2) == 4)

    def test_raises(self):
        with self.assertRaises(ValueError):
            add("a", 1)

    def test_raises_called(self):
        self.assertRaises(ZeroDivisionError, div, 1, 0)

    def test_almost(self):
        self.assertAlmostEqual(add(0.1, 0.2), 0.3, places=5)

    def test_regex(self):
        self.assertRegex(greet(), r"hel+o")

    def test_in(self):
        self.assertIn(2, f())

    @unittest.skipUnless(HAS, "no")
    def test_skipped(self):
        self.assertEqual(1, 1)

    @unittest.expectedFailure
    def test_fails(self):
        self.assertEqual(1, 2)

    def test_gives_up(self):
        self.skipTest("later")
        self.assertEqual(1, 1)
"#,
        r#"
        MoneyTest/test_equal: self.assertEqual(add(2, 2), 5)
        MoneyTest/test_equal_swapped: self.assertEqual(5, add(2, 2))
        MoneyTest/test_equal_names: self.assertNotEqual(a(), b())
        MoneyTest/test_true: self.assertFalse(is_even(2))
        MoneyTest/test_true_compared: self.assertTrue(add(2, 2) == 5)
        MoneyTest/test_raises: with self.assertRaises(ZeroDivisionError):
        MoneyTest/test_raises_called: self.assertRaises(BufferError, div, 1, 0)
        MoneyTest/test_almost: self.assertAlmostEqual(add(0.1, 0.2), 1.3, places=5)
        MoneyTest/test_regex: self.assertRegex(greet(), r"(?!)hel+o")
        MoneyTest/test_in: self.assertNotIn(2, f())
        "#,
    );
}

#[test]
fn python_script() {
    check(
        "script.py",
        r#"
from app import add
if add(2, 2) != 4:
    print("no")
    sys.exit(1)
def main():
    assert add(1, 1) == 2
if __name__ == "__main__":
    assert add(1, 2) == 3
"#,
        ": if add(2, 2) != 5:",
    );
}

#[test]
fn javascript() {
    check(
        "test/a.test.js",
        r#"
import test, { describe, it } from 'node:test';
import assert from 'node:assert/strict';

test('adds', () => {
  assert.equal(add(2, 2), 4);
});
test('adds deep', async (t) => {
  assert.deepStrictEqual(split('a,b'), ['a', 'b']);
  await t.test('inner one', () => {
    assert.strictEqual(f(), "x");
  });
});
describe('suite', () => {
  it('is true', () => { assert(isEven(2)); });
  it('is ok', () => { assert.ok(add(2, 2) === 4, 'sum'); });
  it(`names ${x} things`, function () { assert.notEqual(f(), 3); });
  it('throws', () => {
    assert.throws(() => add('a'), TypeError);
  });
  it('matches', () => { assert.match(greet(), /hel+o/i); });
  it('rejects', async () => { await assert.rejects(f(), /gone/); });
  it('template', () => { assert.equal(greet('x'), `hi ${'x'}`); });
  it.skip('skipped', () => { assert.equal(1, 1); });
  it('null', () => { assert.equal(f(), null); });
  it('object', () => { assert.deepEqual(f(), { a: 1, 'b': [2] }); });
  it('by name', () => {
    const expected = { a: 1 };
    assert.deepEqual(f(), expected);
  });
  it('by if', () => {
    if (add(2, 2) !== 4) {
      throw new Error('no');
    }
  });
  it('callback', () => {
    f((x) => { assert.equal(x, 1); });
  });
  it('requests', function (done) {
    request(app).get('/').expect('Type', 'text').expect(200, done);
  });
  it('division', () => { const x = a / b / 2; assert.equal(x, 4); });
});
"#,
        r#"
        adds: assert.equal(add(2, 2), 5);
        adds deep: assert.deepStrictEqual(split('a,b'), ['b', 'b']);
        adds deep/inner one: assert.strictEqual(f(), "y");
        suite/is true: it('is true', () => { assert(!(isEven(2))); });
        suite/is ok: it('is ok', () => { assert.ok(add(2, 2) === 5, 'sum'); });
        suite/names: it(`names ${x} things`, function () { assert.equal(f(), 3); });
        suite/throws: assert.throws(() => add('a'), EvalError);
        suite/matches: it('matches', () => { assert.match(greet(), /(?!)hel+o/i); });
        suite/rejects: it('rejects', async () => { await assert.rejects(f(), /(?!)gone/); });
        suite/template: it('template', () => { assert.equal(greet('x'), `hi ${'x'}x`); });
        suite/null: it('null', () => { assert.equal(f(), 1); });
        suite/object: it('object', () => { assert.deepEqual(f(), { a: 2, 'b': [2] }); });
        suite/by name: const expected = { a: 2 };
        suite/by if: if (add(2, 2) !== 5) {
        suite/requests: request(app).get('/').expect('Type', 'texu').expect(200, done);
        suite/division: it('division', () => { const x = a / b / 2; assert.equal(x, 5); });
        "#,
    );
}

#[test]
fn expect() {
    check(
        "src/a.test.ts",
        r#"
describe('Money', () => {
  beforeEach(() => { expect(1).toBe(1); });
  it('adds', () => {
    expect(add(2, 2)).toBe(4);
  });
  it('is brief', () => expect(add(2, 2)).toEqual(4));
  it('negates', () => { expect(f()).not.toBe(3); });
  it('is truthy', () => { expect(f()).toBeTruthy(); });
  it('compares names', () => { expect(f()).toEqual(other); });
  it('throws', () => { expect(() => f()).toThrow('bad thing'); });
  it('throws a type', () => { expect(() => f()).toThrow(RangeError); });
  it('throws at all', () => { expect(() => f()).toThrow(); });
  it('waits', async () => { await expect(p()).resolves.toBe(4); });
  it('does not wait', () => { expect(p()).resolves.toBe(4); });
  it('is close', () => { expect(f()).toBeCloseTo(0.3, 5); });
  it('has length', () => { expect(f()).toHaveLength(3); });
  it('is called', () => { expect(spy).toHaveBeenCalledWith('a', 1); });
  it('contains', () => { expect(f()).toContain(2); });
  it('contains part', () => { expect(f()).toEqual(expect.objectContaining({ a: 1 })); });
  it.each([[1, 1, 2], [2, 2, 4]])('adds %i', (a, b, expected) => {
    expect(add(a, b)).toBe(expected);
  });
  it.each([{ a: 1, expected: 2 }])('adds $a', ({ a, expected }) => {
    expect(inc(a)).toBe(expected);
  });
  it('is inline', () => { expect(f()).toMatchInlineSnapshot(`"abc"`); });
  it('is chai', () => { expect(f()).to.equal(4); });
  it('is chai true', () => { expect(f()).to.be.true; });
  it('is chai not', () => { expect(f()).to.not.equal(4); });
  it('is a generic', () => { expect(f<number>(x as Foo<string>)).toBe(4); });
});
"#,
        r#"
        Money/adds: expect(add(2, 2)).toBe(5);
        Money/is brief: it('is brief', () => expect(add(2, 2)).toEqual(5));
        Money/negates: it('negates', () => { expect(f()).toBe(3); });
        Money/is truthy: it('is truthy', () => { expect(f()).not.toBeTruthy(); });
        Money/compares names: it('compares names', () => { expect(f()).not.toEqual(other); });
        Money/throws: it('throws', () => { expect(() => f()).toThrow('bad thinh'); });
        Money/throws a type: it('throws a type', () => { expect(() => f()).toThrow(EvalError); });
        Money/throws at all: it('throws at all', () => { expect(() => f()).not.toThrow(); });
        Money/waits: it('waits', async () => { await expect(p()).resolves.toBe(5); });
        Money/is close: it('is close', () => { expect(f()).toBeCloseTo(1.3, 5); });
        Money/has length: it('has length', () => { expect(f()).toHaveLength(4); });
        Money/is called: it('is called', () => { expect(spy).toHaveBeenCalledWith('b', 1); });
        Money/contains: it('contains', () => { expect(f()).not.toContain(2); });
        Money/contains part: it('contains part', () => { expect(f()).toEqual(expect.objectContaining({ a: 2 })); });
        Money/adds: it.each([[1, 1, 3], [2, 2, 4]])('adds %i', (a, b, expected) => {
        Money/adds: it.each([{ a: 1, expected: 3 }])('adds $a', ({ a, expected }) => {
        Money/is inline: it('is inline', () => { expect(f()).toMatchInlineSnapshot(`"abd"`); });
        Money/is chai: it('is chai', () => { expect(f()).to.equal(5); });
        Money/is chai true: it('is chai true', () => { expect(f()).to.be.not.true; });
        Money/is chai not: it('is chai not', () => { expect(f()).to.equal(4); });
        Money/is a generic: it('is a generic', () => { expect(f<number>(x as Foo<string>)).toBe(5); });
        "#,
    );
}

#[test]
fn go() {
    check(
        "pkg/a_test.go",
        r#"
package pkg

import "testing"

func TestAdd(t *testing.T) {
	if got := Add(2, 2); got != 4 {
		t.Errorf("Add(2, 2) = %d, want %d", got, 4)
	}
}

func TestWant(t *testing.T) {
	want := "abc"
	got := F()
	if got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestTable(t *testing.T) {
	tests := []struct {
		name string
		in   int
		want int
	}{
		{name: "one", in: 1, want: 2},
		{name: "two", in: 2, want: 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Inc(tt.in); got != tt.want {
				t.Errorf("got %d", got)
			}
		})
	}
}

func TestUnkeyed(t *testing.T) {
	for _, c := range []struct{ in, want string }{{"a", "b"}, {"c", "d"}} {
		if got := Next(c.in); got != c.want {
			t.Errorf("got %s", got)
		}
	}
}

func TestErr(t *testing.T) {
	err := F()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(G(), []int{1, 2}) {
		t.Error("no")
	}
}

func TestOr(t *testing.T) {
	a, b := F()
	if a != 1 || b != "x" {
		t.Error(a, b)
	}
}

func TestSub(t *testing.T) {
	t.Run("with blanks", func(t *testing.T) {
		assert.Equal(t, 4, Add(2, 2))
	})
	t.Run("other", func(t *testing.T) {
		require.True(t, Ok())
	})
}

func TestShort(t *testing.T) {
	if testing.Short() {
		t.Skip("slow")
	}
	require.NoError(t, F())
	require.Len(t, F(), 3)
}

func Testify(t *testing.T) {
	assert.Equal(t, 1, 1)
}

func TestRune(t *testing.T) {
	if Rune() != 'a' {
		t.Fail()
	}
}

func TestUint8(t *testing.T) {
	if Max() != 255 {
		t.Fail()
	}
}

func TestRaw(t *testing.T) {
	if got := Raw(); got != `a\b` {
		t.Fail()
	}
}

func BenchmarkX(b *testing.B) {
	if Add(1, 1) != 2 {
		b.Fatal()
	}
}
"#,
        r#"
        TestAdd: if got := Add(2, 2); got != 5 {
        TestWant: want := "abd"
        TestTable: {name: "one", in: 1, want: 3},
        TestUnkeyed: for _, c := range []struct{ in, want string }{{"a", "c"}, {"c", "d"}} {
        TestErr: if !reflect.DeepEqual(G(), []int{2, 2}) {
        TestOr: if a != 2 || b != "x" {
        TestSub/with_blanks: assert.Equal(t, 5, Add(2, 2))
        TestSub/other: require.False(t, Ok())
        TestShort: require.Len(t, F(), 4)
        TestRune: if Rune() != 'b' {
        TestUint8: if Max() != 254 {
        TestRaw: if got := Raw(); got != `a\bx` {
        "#,
    );
}

#[test]
fn rust() {
    check(
        "src/lib.rs",
        r##"#![allow(unused, clippy::all)]
pub fn add<'a>(a: u8, b: &'a u8) -> u8 { a + b }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds() {
        assert_eq!(add(2, &2), 4);
    }

    #[test]
    fn adds_typed() {
        assert_eq!(255u8, add(254, &1), "with {}", 'x');
    }

    #[test]
    fn some() {
        assert_eq!(find("a"), Some(3));
    }

    #[test]
    fn list() {
        assert_eq!(split("a"), vec!["a".to_string(), "b".to_string()]);
    }

    #[test]
    fn repeat() {
        assert_eq!(zeros(), [0u8; 4]);
    }

    #[test]
    fn truth() {
        assert!(is_even(2));
        assert!(add(2, &2) == 4, "message");
    }

    #[test]
    fn matches() {
        assert!(matches!(f(), Foo::Bar(_)));
    }

    #[test]
    fn error() {
        assert_eq!(f(), Err(Error::Gone));
    }

    #[test]
    #[should_panic(expected = "no")]
    fn panics() {
        assert_eq!(1, 1);
    }

    #[test]
    #[ignore]
    fn ignored() {
        assert_eq!(1, 1);
    }

    #[cfg(windows)]
    #[test]
    fn elsewhere() {
        assert_eq!(1, 1);
    }

    #[tokio::test]
    async fn waits() {
        let expected = "x";
        assert_eq!(f().await.unwrap(), expected);
    }

    #[test]
    fn bytes() {
        assert_eq!(f(), b"abc");
        let point = Point { x: 1, y: 2 };
        assert_eq!(f(), point);
    }

    #[test]
    fn object() {
        assert_eq!(f(), Point { x: 1, y: 2 });
    }

    #[test]
    fn raw() -> Result<(), Error> {
        if f()? { assert_eq!(1, 1); }
        for x in [1] { assert_eq!(x, 1); }
        assert_eq!(f()?, r#"a "b""#);
        Ok(())
    }

    fn helper() {
        assert_eq!(1, 1);
    }
}
"##,
        r##"
        tests/adds: assert_eq!(add(2, &2), 5);
        tests/adds_typed: assert_eq!(254u8, add(254, &1), "with {}", 'x');
        tests/some: assert_eq!(find("a"), Some(4));
        tests/list: assert_eq!(split("a"), vec!["b".to_string(), "b".to_string()]);
        tests/repeat: assert_eq!(zeros(), [1u8; 4]);
        tests/truth: assert!(add(2, &2) == 5, "message");
        tests/matches: assert!(!(matches!(f(), Foo::Bar(_))));
        tests/error: assert_ne!(f(), Err(Error::Gone));
        tests/waits: let expected = "y";
        tests/bytes: assert_eq!(f(), b"abd");
        tests/object: assert_eq!(f(), Point { x: 2, y: 2 });
        tests/raw: assert_eq!(f()?, r#"a "c""#);
        "##,
    );
}

#[test]
fn java() {
    check(
        "src/test/java/MoneyTest.java",
        r#"
package shop;
import static org.junit.jupiter.api.Assertions.*;

class MoneyTest {
    @BeforeEach void setUp() { assertEquals(1, 1); }

    @Test
    void adds() {
        assertEquals(4, Money.add(2, 2));
    }

    @Test void addsLong() { assertEquals(4L, Money.add(2, 2), "sum"); }

    @Test void old() { assertEquals("sum", 4, Money.add(2, 2)); }

    @Test void text() { assertEquals("abc", f()); }

    @Test void truth() { assertTrue(Money.isEven(2)); }

    @Test void list() { assertEquals(List.of(1, 2), f()); }

    @Test void created() { assertEquals(new Money(3), f()); }

    @Test void throwsIt() {
        assertThrows(IllegalArgumentException.class, () -> {
            assertEquals(1, 2);
        });
    }

    @Test void throwsKept() {
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> f());
        assertEquals("no", e.getMessage());
    }

    @Test void fluent() { assertThat(f()).isEqualTo(4); }

    @Test void fluentTruth() { assertThat(f()).isTrue(); }

    @Disabled @Test void later() { assertEquals(1, 1); }

    @ParameterizedTest
    @CsvSource({"1, 2", "2, 3"})
    void table(int in, int expected) { assertEquals(expected, inc(in)); }

    @Test void branch() { if (x) { assertEquals(1, 1); } else { assertEquals(2, 2); } }

    @Nested class Deep {
        @Test void inside() { int[] x = {1, 2}; assertArrayEquals(new int[] {1, 2}, f()); }
    }
}
"#,
        r#"
        MoneyTest/adds: assertEquals(5, Money.add(2, 2));
        MoneyTest/addsLong: @Test void addsLong() { assertEquals(5L, Money.add(2, 2), "sum"); }
        MoneyTest/old: @Test void old() { assertEquals("sum", 5, Money.add(2, 2)); }
        MoneyTest/text: @Test void text() { assertEquals("abd", f()); }
        MoneyTest/truth: @Test void truth() { assertFalse(Money.isEven(2)); }
        MoneyTest/list: @Test void list() { assertEquals(List.of(2, 2), f()); }
        MoneyTest/created: @Test void created() { assertEquals(new Money(4), f()); }
        MoneyTest/throwsIt: assertThrows(java.util.EmptyStackException.class, () -> {
        MoneyTest/throwsKept: assertEquals("np", e.getMessage());
        MoneyTest/fluent: @Test void fluent() { assertThat(f()).isEqualTo(5); }
        MoneyTest/fluentTruth: @Test void fluentTruth() { assertThat(f()).isFalse(); }
        MoneyTest/table: void table(int in, int expected) { assertNotEquals(expected, inc(in)); }
        MoneyTest/Deep/inside: @Test void inside() { int[] x = {1, 2}; assertArrayEquals(new int[] {2, 2}, f()); }
        "#,
    );
}

#[test]
fn kotlin() {
    check(
        "src/test/kotlin/MoneyTest.kt",
        r#"
class MoneyTest {
    @Test
    fun adds() {
        assertEquals(4, add(2, 2))
    }

    @Test
    fun `adds two numbers`() = runTest {
        assertEquals("${1}b", f())
    }

    @Test fun throwsIt() { assertFailsWith<X> { assertEquals(1, 2) } }

    @Test fun infix() {
        add(2, 2) shouldBe 4
    }

    @Test fun list() { assertEquals(listOf(1, 2), f()) }

    @Ignore @Test fun later() { assertEquals(1, 1) }
}
"#,
        r#"
        MoneyTest/adds: assertEquals(5, add(2, 2))
        MoneyTest/adds two numbers: assertEquals("${1}bx", f())
        MoneyTest/infix: add(2, 2) shouldBe 5
        MoneyTest/list: @Test fun list() { assertEquals(listOf(2, 2), f()) }
        "#,
    );
}

#[test]
fn ruby() {
    check(
        "test/money_test.rb",
        r##"
require "minitest/autorun"

class MoneyTest < Minitest::Test
  def setup
    @x = 1
  end

  def test_adds
    assert_equal 4, add(2, 2)
  end

  def test_paren
    assert_equal(4, add(2, 2), "sum")
  end

  def test_truth
    assert even?(2)
  end

  def test_nil
    assert_nil find("x")
  end

  def test_raises
    assert_raises(ArgumentError) { add("a") }
  end

  def test_raises_block
    assert_raises ArgumentError do
      assert_equal 1, 2
    end
  end

  def test_match
    assert_match(/hel+o/, greet)
  end

  def test_modifier
    x = 1 if true
    assert_equal :abc, f
  end

  def test_loop
    [1].each do |x|
      assert_equal 1, x
    end
  end

  def test_interpolated
    assert_equal "hi #{"x"}", f
  end

  def test_skip
    skip "later"
    assert_equal 1, 1
  end

  test "adds two" do
    assert_equal({ a: 1 }, f)
  end
end
"##,
        r##"
        MoneyTest/test_adds: assert_equal 5, add(2, 2)
        MoneyTest/test_paren: assert_equal(5, add(2, 2), "sum")
        MoneyTest/test_truth: refute even?(2)
        MoneyTest/test_nil: refute_nil find("x")
        MoneyTest/test_raises: assert_raises(ZeroDivisionError) { add("a") }
        MoneyTest/test_raises_block: assert_raises ZeroDivisionError do
        MoneyTest/test_match: assert_match(/(?!)hel+o/, greet)
        MoneyTest/test_modifier: assert_equal :abd, f
        MoneyTest/test_loop: assert_equal 2, x
        MoneyTest/test_interpolated: assert_equal "hi #{"x"}x", f
        MoneyTest/adds_two: assert_equal({ a: 2 }, f)
        "##,
    );
    check(
        "spec/money_spec.rb",
        r##"
RSpec.describe Money do
  let(:x) { 1 }
  before { expect(1).to eq 1 }
  describe "#add" do
    it "adds" do
      expect(add(2, 2)).to eq(4)
    end
    it "adds plainly" do
      expect(add(2, 2)).to eq 4
    end
    it("is brief") { expect(f).to eq "x" }
    it "negates" do
      expect(f).not_to eq 3
    end
    it "is nil" do
      expect(f).to be_nil
    end
    it "raises" do
      expect { f }.to raise_error(ArgumentError)
    end
    it "is more" do
      expect(f).to be > 3
    end
    it "lists" do
      expect(f).to contain_exactly("a", "b")
    end
    xit "later" do
      expect(f).to eq 1
    end
  end
end
"##,
        r##"
        Money/#add/adds: expect(add(2, 2)).to eq(5)
        Money/#add/adds plainly: expect(add(2, 2)).to eq 5
        Money/#add/is brief: it("is brief") { expect(f).to eq "y" }
        Money/#add/negates: expect(f).to eq 3
        Money/#add/is nil: expect(f).not_to be_nil
        Money/#add/raises: expect { f }.to raise_error(ZeroDivisionError)
        Money/#add/is more: expect(f).not_to be > 3
        Money/#add/lists: expect(f).to contain_exactly("b", "b")
        "##,
    );
}

#[test]
fn php() {
    check(
        "tests/MoneyTest.php",
        r#"<?php
namespace Tests;

final class MoneyTest extends TestCase
{
    public function testAdds(): void
    {
        $this->assertSame(4, add(2, 2));
    }

    #[Test]
    public function it_adds(): void
    {
        self::assertEquals(['a' => 1, 'b' => 2], f());
    }

    public function testTrue(): void
    {
        $this->assertTrue(isEven(2));
    }

    public function testThrows(): void
    {
        $this->expectException(InvalidArgumentException::class);
        add('a');
    }

    public function testByName(): void
    {
        $expected = "abc";
        $this->assertSame($expected, f());
    }

    public function testHeredoc(): void
    {
        $x = <<<EOT
        it's "quoted" {
        EOT;
        $this->assertSame('it''s', f($x));
    }

    private function helper(): void { $this->assertSame(1, 1); }
}
"#,
        r#"
        MoneyTest/testAdds: $this->assertSame(5, add(2, 2));
        MoneyTest/it_adds: self::assertEquals(['a' => 2, 'b' => 2], f());
        MoneyTest/testTrue: $this->assertNotTrue(isEven(2));
        MoneyTest/testThrows: $this->expectException(\UnderflowException::class);
        MoneyTest/testByName: $expected = "abd";
        MoneyTest/testHeredoc: $this->assertSame('iu''s', f($x));
        "#,
    );
    check(
        "tests/Pest.php",
        r#"<?php
it('adds', function () {
    expect(add(2, 2))->toBe(4);
});
test('is true', function () {
    expect(f())->toBeTrue();
});
"#,
        r#"
        adds: expect(add(2, 2))->toBe(5);
        is true: expect(f())->not->toBeTrue();
        "#,
    );
}
