#include "base/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace landfall {
namespace {

Json parsed(std::string_view text, const JsonLimits& limits = {}) {
  Result<Json> r = parse_json(text, limits);
  EXPECT_TRUE(r.ok()) << text << ": " << r.status().message();
  return r.ok() ? std::move(r).value() : Json();
}

std::string error(std::string_view text, const JsonLimits& limits = {}) {
  const Result<Json> r = parse_json(text, limits);
  EXPECT_FALSE(r.ok()) << text;
  if (r.ok()) return "";
  EXPECT_EQ(r.status().code(), Code::invalid_argument);
  EXPECT_EQ(r.status().message().find('\n'), std::string::npos) << "one line";
  return r.status().message();
}

TEST(Json, ReadsEveryKind) {
  const Json v =
      parsed(R"( {"a": null, "b": true, "i": -7, "d": 2.5, "s": "x\u00e9\n\ud83d\ude00", "l": [1, [], {}]} )");
  EXPECT_TRUE(v["a"].is_null());
  EXPECT_TRUE(v["b"].boolean());
  EXPECT_TRUE(v["i"].is_integer());
  EXPECT_EQ(v["i"].integer(), -7);
  EXPECT_EQ(v["i"].number(), -7.0);
  EXPECT_FALSE(v["d"].is_integer());
  EXPECT_EQ(v["d"].number(), 2.5);
  EXPECT_EQ(v["s"].string(), "x\xc3\xa9\n\xf0\x9f\x98\x80");
  ASSERT_EQ(v["l"].array().size(), 3u);
  EXPECT_TRUE(v["l"].array()[1].is_array());
  EXPECT_TRUE(v["l"].array()[2].is_object());
  EXPECT_EQ(parsed("3").integer(), 3);
  EXPECT_EQ(parsed("\"\"").string(), "");
}

TEST(Json, AccessorsOfTheWrongKindGiveTheDefault) {
  const Json v = parsed(R"({"s": "x", "n": 1.5, "t": true})");
  EXPECT_EQ(v["s"].integer(4), 4);
  EXPECT_EQ(v["n"].integer(4), 4);  // has a fraction
  EXPECT_EQ(v["t"].number(2.5), 2.5);
  EXPECT_TRUE(v["s"].boolean(true));
  EXPECT_EQ(v["n"].string(), "");
  EXPECT_TRUE(v["s"].array().empty());
  EXPECT_TRUE(v["s"].object().empty());
  EXPECT_TRUE(v["absent"]["deeper"]["still"].is_null());
  EXPECT_EQ(v.find("absent"), nullptr);
  EXPECT_EQ(parsed("2.0").integer(), 2);
  EXPECT_EQ(parsed("1e300").integer(9), 9);
}

TEST(Json, NumbersKeepWhatTheyCan) {
  EXPECT_EQ(parsed("9223372036854775807").integer(), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(parsed("-9223372036854775808").integer(), std::numeric_limits<int64_t>::min());
  const Json over = parsed("18446744073709551615");  // fits no int64: a double
  EXPECT_FALSE(over.is_integer());
  EXPECT_EQ(over.number(), 18446744073709551615.0);
  EXPECT_EQ(parsed("-0.0").number(), 0.0);
  EXPECT_EQ(parsed("5e-324").number(), 5e-324);
  for (double v : {0.1, 1.0 / 3, 1e22, 123456789.125, -2.2250738585072014e-308}) {
    EXPECT_EQ(parsed(Json(v).dump()).number(), v);
  }
  error("1e999");  // infinity is not JSON
}

TEST(Json, WritesNoNumbersThatJsonDoesNotHave) {
  EXPECT_EQ(Json(std::nan("")).dump(), "null");
  EXPECT_EQ(Json(std::numeric_limits<double>::infinity()).dump(), "null");
}

TEST(Json, RefusesWhatIsNotJson) {
  for (std::string_view text : {"",
                                " ",
                                "{",
                                "[1,]",
                                "{\"a\":1,}",
                                "{\"a\"}",
                                "{a:1}",
                                "'x'",
                                "nul",
                                "truee",
                                "01",
                                "+1",
                                ".5",
                                "1.",
                                "NaN",
                                "Infinity",
                                "-",
                                "\"\\x\"",
                                "\"\\ud800\"",
                                "\"a\nb\"",
                                "1 2",
                                "[1] x",
                                "/* */ 1",
                                "\"\xff\"",
                                "\"\xc0\x80\"",
                                "\"\xed\xa0\x80\""}) {
    EXPECT_NE(error(text).find("not valid JSON: "), std::string::npos) << text;
  }
  EXPECT_FALSE(parse_json(std::string_view("\0", 1)).ok());
  const std::string message = error("{\n  \"a\": ?\n}");
  EXPECT_NE(message.find("line 2, column 8"), std::string::npos) << message;
}

TEST(Json, DepthIsLimited) {
  auto nested = [](int depth, char open, char close) { return std::string(depth, open) + std::string(depth, close); };
  parsed(nested(64, '[', ']'));
  EXPECT_NE(error(nested(65, '[', ']')).find("nested deeper than 64 levels"), std::string::npos);
  parsed(nested(2, '[', ']'), {.depth = 2});
  error(nested(3, '[', ']'), {.depth = 2});
  std::string objects = "1";
  for (int i = 0; i < 65; ++i) objects = "{\"a\":" + objects + "}";
  EXPECT_NE(error(objects).find("64"), std::string::npos);
  error(std::string(1 << 20, '['));  // does not recurse to its death
}

TEST(Json, SizeIsLimited) {
  EXPECT_EQ(parsed("[1,2]", {.bytes = 5}).array().size(), 2u);
  const std::string message = error("[1,23]", {.bytes = 5});
  EXPECT_NE(message.find("6 bytes"), std::string::npos) << message;
  EXPECT_NE(message.find('5'), std::string::npos) << message;
}

TEST(Json, TheNumberOfValuesIsLimited) {
  const std::string_view six = R"({"a": [1, {}, "x"], "b": null})";  // the whole, the list and its three, null
  parsed(six, {.values = 6});
  EXPECT_NE(error(six, {.values = 5}).find("more than 5 values"), std::string::npos);
  parsed("1", {.values = 1});
  for (const char* item : {"[],", "0,", "{},", "\"\","}) {
    std::string text = "[";
    for (int i = 0; i < 1000; ++i) text += item;
    text.back() = ']';
    parsed(text, {.values = 1001});
    EXPECT_NE(error(text, {.values = 1000}).find("more than 1000 values"), std::string::npos) << item;
  }
}

TEST(Json, ObjectsKeepTheirOrderAndTheLastOfTwoKeys) {
  const Json v = parsed(R"({"z": 1, "a": 2, "z": 3})");
  EXPECT_EQ(v["z"].integer(), 3);
  EXPECT_EQ(v.object()[0].first, "z");
  EXPECT_EQ(v.object()[1].first, "a");
  Json built;
  built.set("b", 1).set("a", Json().push(true).push(nullptr)).set("b", "two");
  EXPECT_EQ(built.dump(), R"({"b":"two","a":[true,null]})");
  EXPECT_EQ(built.dump(1), "{\n \"b\": \"two\",\n \"a\": [\n  true,\n  null\n ]\n}");
}

TEST(Json, WhatIsWrittenReadsBackEqual) {
  const char* text = R"({"s":"\"\\/\b\f\n\r\t\u0001é😀","l":[1,-2.5,true,false,null,{"k":[]}],"":{}})";
  const Json v = parsed(text);
  EXPECT_EQ(parsed(v.dump()), v);
  EXPECT_EQ(parsed(v.dump(2)), v);
}

TEST(Json, TextThatIsNotUtf8IsWrittenWithReplacements) {
  EXPECT_EQ(Json(std::string("a\xff"
                             "b"))
                .dump(),
            "\"a\xef\xbf\xbd"
            "b\"");
}

TEST(Json, BuiltFromEveryIntegerType) {
  EXPECT_EQ(Json(size_t{5}), Json(5));
  EXPECT_EQ(Json(int64_t{5}), Json(5u));
  EXPECT_EQ(Json(5LL), Json(5ULL));
  EXPECT_NE(Json(5), Json("5"));
  EXPECT_TRUE(Json("x").is_string());  // not a bool
}

}  // namespace
}  // namespace landfall
