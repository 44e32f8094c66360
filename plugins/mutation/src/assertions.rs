//! The assertions of each language's libraries: what is compared with what, and what the
//! opposite is called.

/// How an assertion compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Two values for equality.
    Equal,
    /// Two numbers within a tolerance.
    Near,
    /// A part of a text or a collection: only a text is altered, as another number may be
    /// a member too.
    Member,
    /// A regular expression.
    Regex,
    /// An exception's type.
    Raises,
    /// A condition must be true.
    True,
    /// Nothing in it can be altered: the opposite is asked for.
    Opposite,
}

/// An assertion, by the name of what is called.
#[derive(Debug)]
pub struct Assertion {
    pub name: &'static str,
    pub how: How,
    /// The arguments that may be the expected one, the likeliest first.
    pub operands: &'static [usize],
    /// The name of the opposite; empty if there is none, [`NOT`] if `not` makes it.
    pub opposite: &'static str,
}

/// The opposite is made by a `not` before the matcher.
pub const NOT: &str = "not";

const fn of(name: &'static str, how: How, operands: &'static [usize], opposite: &'static str) -> Assertion {
    Assertion { name, how, operands, opposite }
}

use How::{Equal, Member, Near, Opposite, Raises, Regex, True};

pub const PYTHON: &[Assertion] = &[
    of("assertEqual", Equal, &[1, 0], "assertNotEqual"),
    of("assertEquals", Equal, &[1, 0], "assertNotEqual"),
    of("assertListEqual", Equal, &[1, 0], "assertNotEqual"),
    of("assertDictEqual", Equal, &[1, 0], "assertNotEqual"),
    of("assertTupleEqual", Equal, &[1, 0], "assertNotEqual"),
    of("assertSetEqual", Equal, &[1, 0], "assertNotEqual"),
    of("assertSequenceEqual", Equal, &[1, 0], "assertNotEqual"),
    of("assertMultiLineEqual", Equal, &[1, 0], "assertNotEqual"),
    of("assertCountEqual", Equal, &[1, 0], ""),
    of("assertNotEqual", Opposite, &[], "assertEqual"),
    of("assertAlmostEqual", Near, &[1, 0], "assertNotAlmostEqual"),
    of("assertNotAlmostEqual", Opposite, &[], "assertAlmostEqual"),
    of("assertTrue", True, &[0], "assertFalse"),
    of("assertFalse", Opposite, &[], "assertTrue"),
    of("assertIs", Opposite, &[], "assertIsNot"),
    of("assertIsNot", Opposite, &[], "assertIs"),
    of("assertIsNone", Opposite, &[], "assertIsNotNone"),
    of("assertIsNotNone", Opposite, &[], "assertIsNone"),
    of("assertIn", Member, &[0], "assertNotIn"),
    of("assertNotIn", Opposite, &[], "assertIn"),
    of("assertIsInstance", Opposite, &[], "assertNotIsInstance"),
    of("assertNotIsInstance", Opposite, &[], "assertIsInstance"),
    of("assertGreater", Opposite, &[], "assertLessEqual"),
    of("assertGreaterEqual", Opposite, &[], "assertLess"),
    of("assertLess", Opposite, &[], "assertGreaterEqual"),
    of("assertLessEqual", Opposite, &[], "assertGreater"),
    of("assertRegex", Regex, &[1], "assertNotRegex"),
    of("assertNotRegex", Opposite, &[], "assertRegex"),
    of("assertRaises", Raises, &[0], ""),
    of("assertRaisesRegex", Raises, &[0], ""),
    of("raises", Raises, &[0], ""),
    of("assert_equal", Equal, &[1, 0], ""),
    of("assert_array_equal", Equal, &[1, 0], ""),
    of("assert_allclose", Near, &[1, 0], ""),
    of("assert_almost_equal", Near, &[1, 0], ""),
    of("assert_array_almost_equal", Near, &[1, 0], ""),
    of("assert_called_once_with", Equal, &[0, 1], ""),
    of("assert_called_with", Equal, &[0, 1], ""),
    of("assert_any_call", Equal, &[0, 1], ""),
    of("assert_not_called", Opposite, &[], "assert_called"),
    of("assert_called_once", Opposite, &[], "assert_not_called"),
    of("assert_called", Opposite, &[], "assert_not_called"),
];

/// Functions of `node:assert`, chai's `assert`, tap, AVA and QUnit; matchers of Jest,
/// Vitest, `node:test` and chai's `expect`.
pub const JAVASCRIPT: &[Assertion] = &[
    of("equal", Equal, &[1, 0], "notEqual"),
    of("strictEqual", Equal, &[1, 0], "notStrictEqual"),
    of("deepEqual", Equal, &[1, 0], "notDeepEqual"),
    of("deepStrictEqual", Equal, &[1, 0], "notDeepStrictEqual"),
    of("partialDeepStrictEqual", Equal, &[1, 0], ""),
    of("notEqual", Opposite, &[], "equal"),
    of("notStrictEqual", Opposite, &[], "strictEqual"),
    of("notDeepEqual", Opposite, &[], "deepEqual"),
    of("notDeepStrictEqual", Opposite, &[], "deepStrictEqual"),
    of("ok", True, &[0], ""),
    of("assert", True, &[0], ""),
    of("isTrue", Opposite, &[], "isFalse"),
    of("isFalse", Opposite, &[], "isTrue"),
    of("isNull", Opposite, &[], "isNotNull"),
    of("isUndefined", Opposite, &[], "isDefined"),
    of("lengthOf", Equal, &[1], ""),
    of("include", Member, &[1], "notInclude"),
    of("match", Regex, &[1], "doesNotMatch"),
    of("doesNotMatch", Opposite, &[], "match"),
    of("throws", Raises, &[1], "doesNotThrow"),
    of("doesNotThrow", Opposite, &[], "throws"),
    of("rejects", Raises, &[1], "doesNotReject"),
    of("is", Equal, &[1, 0], "not"),
    of("same", Equal, &[1, 0], "notSame"),
];

/// What follows `expect(…)`.
pub const JAVASCRIPT_MATCHERS: &[Assertion] = &[
    of("toBe", Equal, &[0], NOT),
    of("toEqual", Equal, &[0], NOT),
    of("toStrictEqual", Equal, &[0], NOT),
    of("toMatchObject", Equal, &[0], NOT),
    of("toHaveLength", Equal, &[0], NOT),
    of("toHaveProperty", Equal, &[1, 0], NOT),
    of("toHaveBeenCalledTimes", Equal, &[0], NOT),
    of("toHaveBeenCalledWith", Equal, &[0, 1], NOT),
    of("toHaveBeenLastCalledWith", Equal, &[0, 1], NOT),
    of("toHaveBeenNthCalledWith", Equal, &[1], NOT),
    of("toHaveReturnedWith", Equal, &[0], NOT),
    of("toBeCloseTo", Near, &[0], NOT),
    of("toContain", Member, &[0], NOT),
    of("toContainEqual", Opposite, &[], NOT),
    of("toMatch", Regex, &[0], NOT),
    of("toThrow", Raises, &[0], NOT),
    of("toThrowError", Raises, &[0], NOT),
    of("toBeTruthy", Opposite, &[], NOT),
    of("toBeFalsy", Opposite, &[], NOT),
    of("toBeNull", Opposite, &[], NOT),
    of("toBeUndefined", Opposite, &[], NOT),
    of("toBeDefined", Opposite, &[], NOT),
    of("toBeNaN", Opposite, &[], NOT),
    of("toBeInstanceOf", Opposite, &[], NOT),
    of("toBeTypeOf", Equal, &[0], NOT),
    of("toBeGreaterThan", Opposite, &[], NOT),
    of("toBeGreaterThanOrEqual", Opposite, &[], NOT),
    of("toBeLessThan", Opposite, &[], NOT),
    of("toBeLessThanOrEqual", Opposite, &[], NOT),
    of("toHaveBeenCalled", Opposite, &[], NOT),
    of("toHaveBeenCalledOnce", Opposite, &[], NOT),
    of("toBeOneOf", Opposite, &[], NOT),
    of("toSatisfy", Opposite, &[], NOT),
    of("toBeInTheDocument", Opposite, &[], NOT),
    of("toBeVisible", Opposite, &[], NOT),
    of("toHaveTextContent", Member, &[0], NOT),
    of("toMatchInlineSnapshot", Equal, &[0], ""),
    of("toThrowErrorMatchingInlineSnapshot", Equal, &[0], ""),
    of("equal", Equal, &[0], NOT),
    of("equals", Equal, &[0], NOT),
    of("eq", Equal, &[0], NOT),
    of("eql", Equal, &[0], NOT),
    of("eqls", Equal, &[0], NOT),
    of("lengthOf", Equal, &[0], NOT),
    of("length", Equal, &[0], NOT),
    of("property", Equal, &[1, 0], NOT),
    of("closeTo", Near, &[0], NOT),
    of("include", Member, &[0], NOT),
    of("includes", Member, &[0], NOT),
    of("contain", Member, &[0], NOT),
    of("members", Equal, &[0], NOT),
    of("string", Member, &[0], NOT),
    of("match", Regex, &[0], NOT),
    of("throw", Raises, &[0], NOT),
    of("throws", Raises, &[0], NOT),
    of("above", Opposite, &[], NOT),
    of("below", Opposite, &[], NOT),
    of("least", Opposite, &[], NOT),
    of("most", Opposite, &[], NOT),
    of("instanceof", Opposite, &[], NOT),
    of("instanceOf", Opposite, &[], NOT),
    of("a", Equal, &[0], NOT),
    of("an", Equal, &[0], NOT),
    of("true", Opposite, &[], NOT),
    of("false", Opposite, &[], NOT),
    of("null", Opposite, &[], NOT),
    of("undefined", Opposite, &[], NOT),
    of("ok", Opposite, &[], NOT),
    of("exist", Opposite, &[], NOT),
    of("empty", Opposite, &[], NOT),
];

/// testify, gotest.tools, is; the first argument may be the `testing.T`.
pub const GO: &[Assertion] = &[
    of("Equal", Equal, &[0, 1], "NotEqual"),
    of("Equalf", Equal, &[0, 1], "NotEqualf"),
    of("EqualValues", Equal, &[0, 1], "NotEqualValues"),
    of("Exactly", Equal, &[0, 1], ""),
    of("NotEqual", Opposite, &[], "Equal"),
    of("DeepEqual", Equal, &[1, 0], ""),
    of("ElementsMatch", Equal, &[0, 1], ""),
    of("JSONEq", Opposite, &[], ""),
    of("Len", Equal, &[1], ""),
    of("InDelta", Near, &[0, 1], ""),
    of("InEpsilon", Near, &[0, 1], ""),
    of("True", True, &[0], "False"),
    of("False", Opposite, &[], "True"),
    of("Nil", Opposite, &[], "NotNil"),
    of("NotNil", Opposite, &[], "Nil"),
    of("Empty", Opposite, &[], "NotEmpty"),
    of("NotEmpty", Opposite, &[], "Empty"),
    of("Zero", Opposite, &[], "NotZero"),
    of("NotZero", Opposite, &[], "Zero"),
    of("Contains", Member, &[1], "NotContains"),
    of("NotContains", Opposite, &[], "Contains"),
    of("Greater", Opposite, &[], "LessOrEqual"),
    of("GreaterOrEqual", Opposite, &[], "Less"),
    of("Less", Opposite, &[], "GreaterOrEqual"),
    of("LessOrEqual", Opposite, &[], "Greater"),
    of("EqualError", Equal, &[1], ""),
    of("ErrorContains", Member, &[1], ""),
    of("ErrorIs", Opposite, &[], "NotErrorIs"),
    of("NoError", Opposite, &[], "Error"),
    of("Panics", Opposite, &[], "NotPanics"),
    of("Regexp", Opposite, &[], "NotRegexp"),
];

/// Macros.
pub const RUST: &[Assertion] = &[
    of("assert_eq", Equal, &[1, 0], "assert_ne"),
    of("debug_assert_eq", Equal, &[1, 0], "debug_assert_ne"),
    of("assert_ne", Opposite, &[], "assert_eq"),
    of("assert", True, &[0], ""),
    of("debug_assert", True, &[0], ""),
    of("assert_snapshot", Equal, &[1, 0], ""),
    of("assert_debug_snapshot", Equal, &[1, 0], ""),
    of("assert_relative_eq", Near, &[1, 0], "assert_relative_ne"),
    of("assert_abs_diff_eq", Near, &[1, 0], "assert_abs_diff_ne"),
    of("assert_matches", Opposite, &[], ""),
];

/// JUnit 4 and 5, TestNG and kotlin.test, of which some take the expected value first and
/// some last.
pub const JVM: &[Assertion] = &[
    of("assertEquals", Equal, &[0, 1], "assertNotEquals"),
    of("assertNotEquals", Opposite, &[], "assertEquals"),
    of("assertSame", Opposite, &[], "assertNotSame"),
    of("assertNotSame", Opposite, &[], "assertSame"),
    of("assertArrayEquals", Equal, &[0, 1], ""),
    of("assertContentEquals", Equal, &[0, 1], ""),
    of("assertIterableEquals", Equal, &[0, 1], ""),
    of("assertLinesMatch", Opposite, &[], ""),
    of("assertTrue", True, &[0], "assertFalse"),
    of("assertFalse", Opposite, &[], "assertTrue"),
    of("assertNull", Opposite, &[], "assertNotNull"),
    of("assertNotNull", Opposite, &[], "assertNull"),
    of("assertContains", Opposite, &[], ""),
    of("assertThrows", Raises, &[0], ""),
    of("assertThrowsExactly", Raises, &[0], ""),
    of("shouldBe", Equal, &[0], "shouldNotBe"),
    of("shouldNotBe", Opposite, &[], "shouldBe"),
    of("shouldContain", Member, &[0], "shouldNotContain"),
    of("shouldHaveSize", Equal, &[0], ""),
];

/// What follows AssertJ's `assertThat(…)`; Hamcrest's matchers have no name of their own
/// here.
pub const JVM_MATCHERS: &[Assertion] = &[
    of("isEqualTo", Equal, &[0], "isNotEqualTo"),
    of("isNotEqualTo", Opposite, &[], "isEqualTo"),
    of("isSameAs", Opposite, &[], "isNotSameAs"),
    of("isTrue", Opposite, &[], "isFalse"),
    of("isFalse", Opposite, &[], "isTrue"),
    of("isNull", Opposite, &[], "isNotNull"),
    of("isNotNull", Opposite, &[], "isNull"),
    of("isEmpty", Opposite, &[], "isNotEmpty"),
    of("isNotEmpty", Opposite, &[], "isEmpty"),
    of("isPresent", Opposite, &[], "isEmpty"),
    of("isZero", Opposite, &[], "isNotZero"),
    of("hasSize", Equal, &[0], ""),
    of("hasMessage", Equal, &[0], ""),
    of("hasToString", Equal, &[0], ""),
    of("contains", Member, &[0], "doesNotContain"),
    of("containsExactly", Equal, &[0, 1], ""),
    of("containsExactlyInAnyOrder", Equal, &[0, 1], ""),
    of("doesNotContain", Opposite, &[], "contains"),
    of("startsWith", Member, &[0], "doesNotStartWith"),
    of("endsWith", Member, &[0], "doesNotEndWith"),
    of("isGreaterThan", Opposite, &[], "isLessThanOrEqualTo"),
    of("isGreaterThanOrEqualTo", Opposite, &[], "isLessThan"),
    of("isLessThan", Opposite, &[], "isGreaterThanOrEqualTo"),
    of("isLessThanOrEqualTo", Opposite, &[], "isGreaterThan"),
    of("isInstanceOf", Opposite, &[], "isNotInstanceOf"),
];

/// minitest and test-unit.
pub const RUBY: &[Assertion] = &[
    of("assert_equal", Equal, &[0, 1], "refute_equal"),
    of("refute_equal", Opposite, &[], "assert_equal"),
    of("assert_in_delta", Near, &[0, 1], "refute_in_delta"),
    of("assert_nil", Opposite, &[], "refute_nil"),
    of("refute_nil", Opposite, &[], "assert_nil"),
    of("assert_empty", Opposite, &[], "refute_empty"),
    of("refute_empty", Opposite, &[], "assert_empty"),
    of("assert_includes", Member, &[1], "refute_includes"),
    of("refute_includes", Opposite, &[], "assert_includes"),
    of("assert_match", Regex, &[0], "refute_match"),
    of("assert_raises", Raises, &[0], ""),
    of("assert_predicate", Opposite, &[], "refute_predicate"),
    of("assert_operator", Opposite, &[], "refute_operator"),
    of("assert_instance_of", Opposite, &[], "refute_instance_of"),
    of("assert_kind_of", Opposite, &[], "refute_kind_of"),
    of("assert_respond_to", Opposite, &[], "refute_respond_to"),
    of("assert", True, &[0], "refute"),
    of("refute", Opposite, &[], "assert"),
    of("assert_output", Equal, &[0, 1], ""),
    of("must_equal", Equal, &[0], "wont_equal"),
    of("wont_equal", Opposite, &[], "must_equal"),
    of("must_be_nil", Opposite, &[], "wont_be_nil"),
    of("must_include", Member, &[0], "wont_include"),
    of("must_match", Regex, &[0], "wont_match"),
    of("must_be_empty", Opposite, &[], "wont_be_empty"),
    of("must_be_close_to", Near, &[0], ""),
];

/// RSpec's matchers, after `expect(…).to`.
pub const RUBY_MATCHERS: &[Assertion] = &[
    of("eq", Equal, &[0], NOT),
    of("eql", Equal, &[0], NOT),
    of("equal", Equal, &[0], NOT),
    of("be", Equal, &[0], NOT),
    of("contain_exactly", Equal, &[0, 1], NOT),
    of("match_array", Equal, &[0], NOT),
    of("include", Member, &[0], NOT),
    of("start_with", Member, &[0], NOT),
    of("end_with", Member, &[0], NOT),
    of("match", Regex, &[0], NOT),
    of("raise_error", Raises, &[0], NOT),
    of("be_within", Opposite, &[], NOT),
];

/// PHPUnit.
pub const PHP: &[Assertion] = &[
    of("assertEquals", Equal, &[0, 1], "assertNotEquals"),
    of("assertSame", Equal, &[0, 1], "assertNotSame"),
    of("assertNotEquals", Opposite, &[], "assertEquals"),
    of("assertNotSame", Opposite, &[], "assertSame"),
    of("assertEqualsWithDelta", Near, &[0, 1], "assertNotEqualsWithDelta"),
    of("assertEqualsCanonicalizing", Equal, &[0, 1], ""),
    of("assertCount", Equal, &[0], "assertNotCount"),
    of("assertTrue", True, &[0], "assertNotTrue"),
    of("assertFalse", Opposite, &[], "assertNotFalse"),
    of("assertNull", Opposite, &[], "assertNotNull"),
    of("assertNotNull", Opposite, &[], "assertNull"),
    of("assertEmpty", Opposite, &[], "assertNotEmpty"),
    of("assertNotEmpty", Opposite, &[], "assertEmpty"),
    of("assertContains", Opposite, &[], "assertNotContains"),
    of("assertStringContainsString", Member, &[0], "assertStringNotContainsString"),
    of("assertArrayHasKey", Opposite, &[], "assertArrayNotHasKey"),
    of("assertInstanceOf", Opposite, &[], "assertNotInstanceOf"),
    of("assertMatchesRegularExpression", Regex, &[0], "assertDoesNotMatchRegularExpression"),
    of("assertGreaterThan", Opposite, &[], "assertLessThanOrEqual"),
    of("assertLessThan", Opposite, &[], "assertGreaterThanOrEqual"),
    of("expectException", Raises, &[0], ""),
    of("expectExceptionMessage", Member, &[0], ""),
    of("expectOutputString", Equal, &[0], ""),
];

/// Pest's expectations, after `expect(…)->`.
pub const PHP_MATCHERS: &[Assertion] = &[
    of("toBe", Equal, &[0], NOT),
    of("toEqual", Equal, &[0], NOT),
    of("toContain", Member, &[0], NOT),
    of("toHaveCount", Equal, &[0], NOT),
    of("toBeTrue", Opposite, &[], NOT),
    of("toBeFalse", Opposite, &[], NOT),
    of("toBeNull", Opposite, &[], NOT),
    of("toBeEmpty", Opposite, &[], NOT),
    of("toBeInstanceOf", Opposite, &[], NOT),
    of("toBeGreaterThan", Opposite, &[], NOT),
    of("toBeLessThan", Opposite, &[], NOT),
    of("toMatch", Regex, &[0], NOT),
    of("toThrow", Raises, &[0], NOT),
];
