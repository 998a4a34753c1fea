#include "model/chat/jinja_parser.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "model/chat/jinja_lexer.h"

namespace landfall::jinja {
namespace {

constexpr int kMaxSourceDepth = 200;

class Parser {
 public:
  explicit Parser(std::string_view source) : tokens_(tokenize(source)) {}

  Body run() {
    Body body = parse_body({});
    return body;
  }

 private:
  // Guards one level of recursion.
  struct Level {
    explicit Level(Parser& parser) : parser(parser) {
      if (++parser.depth_ > kMaxSourceDepth)
        parser.fault("nested deeper than " + std::to_string(kMaxSourceDepth) + " levels");
    }
    ~Level() { --parser.depth_; }
    Parser& parser;
  };

  [[noreturn]] void fault(std::string message) const {
    throw Error{std::move(message), Code::unsupported, current().line};
  }

  const Token& current() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  void next() {
    if (at_ + 1 < tokens_.size()) ++at_;
  }
  bool is(Token::Kind kind) const { return current().kind == kind; }
  bool is_symbol(std::string_view text) const { return is(Token::symbol) && current().text == text; }
  bool is_name(std::string_view text) const { return is(Token::name) && current().text == text; }
  bool accept_symbol(std::string_view text) {
    if (!is_symbol(text)) return false;
    next();
    return true;
  }
  bool accept_name(std::string_view text) {
    if (!is_name(text)) return false;
    next();
    return true;
  }
  std::string shown() const {
    if (is(Token::end)) return "the end of the template";
    if (is(Token::data)) return "text";
    return "\"" + current().text.substr(0, 40) + "\"";
  }
  void expect_symbol(std::string_view text) {
    if (!accept_symbol(text)) fault("expected \"" + std::string(text) + "\", found " + shown());
  }
  std::string expect_any_name() {
    if (!is(Token::name)) fault("expected a name, found " + shown());
    std::string name = current().text;
    next();
    return name;
  }
  void expect_block_end() {
    if (!is(Token::block_end)) fault("expected \"%}\", found " + shown());
    next();
  }

  // --- statements ---

  // Statements up to a tag that one of `ends` names; that name is the current token then. With no `ends`, all.
  Body parse_body(std::initializer_list<std::string_view> ends) {
    const Level level(*this);
    Body body;
    while (true) {
      const int line = current().line;
      if (is(Token::end)) {
        if (ends.size() == 0) return body;
        fault("expected \"" + std::string(*(ends.end() - 1)) + "\", found the end of the template");
      }
      if (is(Token::data)) {
        body.push_back({Statement::data, line, current().text});
        next();
      } else if (is(Token::variable_begin)) {
        next();
        Statement statement{Statement::output, line};
        statement.value = parse_tuple();
        if (!is(Token::variable_end)) fault("expected \"}}\", found " + shown());
        next();
        body.push_back(std::move(statement));
      } else {
        next();  // {%
        if (!is(Token::name)) fault("expected the name of a tag, found " + shown());
        if (std::find(ends.begin(), ends.end(), current().text) != ends.end()) return body;
        parse_statement(body);
      }
    }
  }

  void parse_statement(Body& body) {
    const int line = current().line;
    const std::string tag = expect_any_name();
    Statement statement{Statement::data, line};
    if (tag == "if") {
      statement.kind = Statement::branches;
      parse_if(statement);
    } else if (tag == "for") {
      statement.kind = Statement::loop;
      parse_for(statement);
    } else if (tag == "set") {
      parse_set(statement);
    } else if (tag == "macro") {
      statement.kind = Statement::macro;
      statement.text = expect_any_name();
      parse_parameters(statement);
      expect_block_end();
      const int loops = std::exchange(loops_, 0);
      parse_until(statement.body, "endmacro");
      loops_ = loops;
    } else if (tag == "with") {
      statement.kind = Statement::scope;
      while (!is(Token::block_end)) {
        if (!statement.parameters.empty()) expect_symbol(",");
        Parameter parameter{expect_any_name(), nullptr};
        expect_symbol("=");
        parameter.otherwise = parse_expression();
        statement.parameters.push_back(std::move(parameter));
      }
      next();
      parse_until(statement.body, "endwith");
    } else if (tag == "generation") {  // marks the text that training counts; its content is written as it is
      statement.kind = Statement::scope;
      expect_block_end();
      parse_until(statement.body, "endgeneration");
    } else if (tag == "filter") {
      statement.kind = Statement::filter_block;
      statement.value = parse_filters(nullptr, true);
      expect_block_end();
      parse_until(statement.body, "endfilter");
    } else if (tag == "break" || tag == "continue") {
      if (loops_ == 0) fault("\"" + tag + "\" stands outside of a loop");
      statement.kind = tag == "break" ? Statement::leave : Statement::skip;
      expect_block_end();
    } else {
      fault("the tag \"" + tag.substr(0, 40) + "\" is not known here");
    }
    body.push_back(std::move(statement));
  }

  void parse_until(Body& body, std::string_view end) {
    body = parse_body({end});
    next();
    expect_block_end();
  }

  void parse_if(Statement& statement) {
    bool has_else = false;
    do {
      Branch branch;
      if (!has_else) branch.condition = parse_tuple();
      expect_block_end();
      branch.body = has_else ? parse_body({"endif"}) : parse_body({"elif", "else", "endif"});
      statement.branches_of.push_back(std::move(branch));
      has_else = is_name("else");
    } while (accept_name("elif") || accept_name("else"));
    next();
    expect_block_end();
  }

  void parse_for(Statement& statement) {
    statement.target = parse_names();
    if (!accept_name("in")) fault("expected \"in\", found " + shown());
    statement.value = parse_tuple(/*with_condition=*/false);
    if (accept_name("if")) statement.condition = parse_expression();
    if (is_name("recursive")) fault("a recursive \"for\" is not supported");
    expect_block_end();
    ++loops_;
    statement.body = parse_body({"else", "endfor"});
    --loops_;
    if (accept_name("else")) {
      expect_block_end();
      statement.otherwise = parse_body({"endfor"});
    }
    next();
    expect_block_end();
  }

  Target parse_names() {
    Target target;
    const bool brackets = accept_symbol("(");
    target.names.push_back(expect_any_name());
    while (accept_symbol(",")) {
      target.unpack = true;
      if (!is(Token::name) || is_name("in")) break;
      target.names.push_back(expect_any_name());
    }
    if (brackets) expect_symbol(")");
    return target;
  }

  void parse_set(Statement& statement) {
    statement.target = parse_names();
    if (!statement.target.unpack && accept_symbol(".")) statement.target.attribute = expect_any_name();
    if (accept_symbol("=")) {
      statement.kind = Statement::set;
      statement.value = parse_tuple();
      expect_block_end();
      return;
    }
    statement.kind = Statement::set_block;
    if (is_symbol("|")) statement.value = parse_filters(nullptr, false);
    expect_block_end();
    parse_until(statement.body, "endset");
  }

  void parse_parameters(Statement& statement) {
    expect_symbol("(");
    while (!accept_symbol(")")) {
      if (!statement.parameters.empty()) {
        expect_symbol(",");
        if (accept_symbol(")")) return;
      }
      Parameter parameter{expect_any_name(), nullptr};
      if (accept_symbol("=")) parameter.otherwise = parse_expression();
      statement.parameters.push_back(std::move(parameter));
    }
  }

  // --- expressions ---

  ExpressionPtr make(Expression::Kind kind, int line, std::string text = {}) const {
    auto out = std::make_unique<Expression>(Expression{kind, line});
    out->text = std::move(text);
    return out;
  }

  void adopt(Expression& parent, ExpressionPtr child) const {
    if (child) {
      parent.depth = std::max(parent.depth, child->depth + 1);
      if (parent.depth > kMaxSourceDepth) fault("nested deeper than " + std::to_string(kMaxSourceDepth) + " levels");
    }
    parent.children.push_back(std::move(child));
  }

  template <class... Children>
  ExpressionPtr node(Expression::Kind kind, int line, std::string text, Children... children) const {
    ExpressionPtr out = make(kind, line, std::move(text));
    (adopt(*out, std::move(children)), ...);
    return out;
  }

  // An expression, or several with commas between: a tuple.
  ExpressionPtr parse_tuple(bool with_condition = true) {
    const int line = current().line;
    const auto part = [&] { return with_condition ? parse_expression() : parse_or(); };
    ExpressionPtr first = part();
    if (!is_symbol(",")) return first;
    ExpressionPtr tuple = node(Expression::tuple, line, {}, std::move(first));
    while (accept_symbol(",")) {
      if (is(Token::block_end) || is(Token::variable_end) || is_symbol(")")) break;
      adopt(*tuple, part());
    }
    return tuple;
  }

  ExpressionPtr parse_expression() {
    const Level level(*this);
    const int line = current().line;
    ExpressionPtr value = parse_or();
    while (accept_name("if")) {
      ExpressionPtr condition = parse_or();
      ExpressionPtr otherwise;
      if (accept_name("else")) otherwise = parse_expression();
      value = node(Expression::conditional, line, {}, std::move(value), std::move(condition), std::move(otherwise));
    }
    return value;
  }

  ExpressionPtr parse_or() {
    ExpressionPtr left = parse_and();
    while (is_name("or")) {
      const int line = current().line;
      next();
      left = node(Expression::logical_or, line, {}, std::move(left), parse_and());
    }
    return left;
  }

  ExpressionPtr parse_and() {
    ExpressionPtr left = parse_not();
    while (is_name("and")) {
      const int line = current().line;
      next();
      left = node(Expression::logical_and, line, {}, std::move(left), parse_not());
    }
    return left;
  }

  ExpressionPtr parse_not() {
    const Level level(*this);
    const int line = current().line;
    if (accept_name("not")) return node(Expression::logical_not, line, {}, parse_not());
    return parse_compare();
  }

  ExpressionPtr parse_compare() {
    const int line = current().line;
    ExpressionPtr left = parse_sum();
    ExpressionPtr out;
    while (true) {
      std::string op;
      if (is(Token::symbol) && (is_symbol("==") || is_symbol("!=") || is_symbol("<") || is_symbol("<=") ||
                                is_symbol(">") || is_symbol(">="))) {
        op = current().text;
        next();
      } else if (accept_name("in")) {
        op = "in";
      } else if (is_name("not") && ahead().kind == Token::name && ahead().text == "in") {
        next(), next();
        op = "not in";
      } else {
        break;
      }
      if (!out) out = node(Expression::compare, line, {}, std::move(left));
      out->operators.push_back(std::move(op));
      adopt(*out, parse_sum());
    }
    return out ? std::move(out) : std::move(left);
  }

  // Left-associative operators of one rank.
  template <class Part>
  ExpressionPtr parse_binary(std::initializer_list<std::string_view> operators, Part&& part) {
    ExpressionPtr left = part();
    while (is(Token::symbol) && std::find(operators.begin(), operators.end(), current().text) != operators.end()) {
      const int line = current().line;
      std::string op = current().text;
      next();
      left = node(Expression::binary, line, std::move(op), std::move(left), part());
    }
    return left;
  }

  ExpressionPtr parse_sum() {
    return parse_binary({"+", "-"}, [&] { return parse_concat(); });
  }

  ExpressionPtr parse_concat() {
    const int line = current().line;
    ExpressionPtr first = parse_product();
    if (!is_symbol("~")) return first;
    ExpressionPtr out = node(Expression::concat, line, {}, std::move(first));
    while (accept_symbol("~")) adopt(*out, parse_product());
    return out;
  }

  ExpressionPtr parse_product() {
    return parse_binary({"*", "/", "//", "%"}, [&] { return parse_binary({"**"}, [&] { return parse_unary(true); }); });
  }

  ExpressionPtr parse_unary(bool with_filters) {
    const Level level(*this);
    const int line = current().line;
    ExpressionPtr value;
    if (accept_symbol("-")) {
      value = node(Expression::negate, line, {}, parse_unary(false));
    } else if (accept_symbol("+")) {
      value = node(Expression::plus, line, {}, parse_unary(false));
    } else {
      value = parse_primary();
    }
    value = parse_postfix(std::move(value));
    return with_filters ? parse_filters_and_tests(std::move(value)) : std::move(value);
  }

  ExpressionPtr literal(int line, Value value) const {
    ExpressionPtr out = make(Expression::literal, line);
    out->value = std::move(value);
    return out;
  }

  ExpressionPtr parse_primary() {
    const Token token = current();
    switch (token.kind) {
      case Token::name:
        next();
        if (token.text == "true" || token.text == "True") return literal(token.line, true);
        if (token.text == "false" || token.text == "False") return literal(token.line, false);
        if (token.text == "none" || token.text == "None") return literal(token.line, Value());
        return make(Expression::name, token.line, token.text);
      case Token::string: {
        std::string text;
        for (; is(Token::string); next()) text += current().text;
        return literal(token.line, Value(std::move(text)));
      }
      case Token::integer:
        next();
        return literal(token.line, token.integer_value);
      case Token::number:
        next();
        return literal(token.line, token.number_value);
      default:
        break;
    }
    if (accept_symbol("(")) {
      if (accept_symbol(")")) return make(Expression::tuple, token.line);
      ExpressionPtr inner = parse_tuple();
      expect_symbol(")");
      return inner;
    }
    if (accept_symbol("[")) {
      ExpressionPtr out = make(Expression::list, token.line);
      while (!accept_symbol("]")) {
        if (!out->children.empty()) {
          expect_symbol(",");
          if (accept_symbol("]")) break;
        }
        adopt(*out, parse_expression());
      }
      return out;
    }
    if (accept_symbol("{")) {
      ExpressionPtr out = make(Expression::dict, token.line);
      while (!accept_symbol("}")) {
        if (!out->children.empty()) {
          expect_symbol(",");
          if (accept_symbol("}")) break;
        }
        adopt(*out, parse_expression());
        expect_symbol(":");
        adopt(*out, parse_expression());
      }
      return out;
    }
    fault("expected an expression, found " + shown());
  }

  ExpressionPtr parse_postfix(ExpressionPtr value) {
    while (true) {
      const int line = current().line;
      if (accept_symbol(".")) {
        if (is(Token::integer)) {
          ExpressionPtr index = literal(line, current().integer_value);
          next();
          value = node(Expression::item, line, {}, std::move(value), std::move(index));
        } else {
          value = node(Expression::attribute, line, expect_any_name(), std::move(value));
        }
      } else if (accept_symbol("[")) {
        value = parse_subscript(std::move(value), line);
      } else if (is_symbol("(")) {
        value = parse_call(Expression::call, line, {}, std::move(value));
      } else {
        return value;
      }
    }
  }

  ExpressionPtr parse_subscript(ExpressionPtr value, int line) {
    ExpressionPtr parts[3];
    int colons = 0;
    while (!is_symbol("]")) {
      if (accept_symbol(":")) {
        if (++colons > 2) fault("a slice has at most three parts");
      } else if (!parts[colons]) {
        parts[colons] = parse_expression();
      } else {
        fault("expected \"]\", found " + shown());
      }
    }
    next();
    if (colons > 0) {
      return node(Expression::slice, line, {}, std::move(value), std::move(parts[0]), std::move(parts[1]),
                  std::move(parts[2]));
    }
    if (!parts[0]) fault("expected an index, found \"]\"");
    return node(Expression::item, line, {}, std::move(value), std::move(parts[0]));
  }

  // The arguments, from "(" on, of a call, a filter or a test.
  ExpressionPtr parse_call(Expression::Kind kind, int line, std::string text, ExpressionPtr value) {
    ExpressionPtr out = node(kind, line, std::move(text), std::move(value));
    if (!accept_symbol("(")) return out;
    bool first = true;
    while (!accept_symbol(")")) {
      if (!first) {
        expect_symbol(",");
        if (accept_symbol(")")) break;
      }
      first = false;
      if (is_symbol("*") || is_symbol("**")) fault("arguments from a list or dict are not supported");
      if (is(Token::name) && ahead().kind == Token::symbol && ahead().text == "=") {
        std::string name = expect_any_name();
        next();
        ExpressionPtr argument = parse_expression();
        out->depth = std::max(out->depth, argument->depth + 1);
        out->named.emplace_back(std::move(name), std::move(argument));
      } else {
        if (!out->named.empty()) fault("an argument without a name follows one with a name");
        adopt(*out, parse_expression());
      }
    }
    return out;
  }

  ExpressionPtr parse_filters_and_tests(ExpressionPtr value) {
    while (true) {
      const int line = current().line;
      if (is_symbol("|")) {
        value = parse_filters(std::move(value), false);
      } else if (accept_name("is")) {
        value = parse_test(std::move(value), line);
      } else if (is_symbol("(")) {
        value = parse_call(Expression::call, line, {}, std::move(value));
      } else {
        return value;
      }
    }
  }

  ExpressionPtr parse_filters(ExpressionPtr value, bool first_without_bar) {
    while (first_without_bar || accept_symbol("|")) {
      first_without_bar = false;
      const int line = current().line;
      std::string name = expect_any_name();
      while (accept_symbol(".")) name.append(".").append(expect_any_name());
      value = parse_call(Expression::filter, line, std::move(name), std::move(value));
    }
    return value;
  }

  ExpressionPtr parse_test(ExpressionPtr value, int line) {
    const bool negated = accept_name("not");
    std::string name = expect_any_name();
    while (accept_symbol(".")) name.append(".").append(expect_any_name());
    ExpressionPtr out;
    const bool operand = is(Token::string) || is(Token::integer) || is(Token::number) || is_symbol("[") ||
                         is_symbol("{") ||
                         (is(Token::name) && !is_name("else") && !is_name("or") && !is_name("and") && !is_name("is"));
    if (is_symbol("(")) {
      out = parse_call(Expression::test, line, std::move(name), std::move(value));
    } else if (operand) {
      out = node(Expression::test, line, std::move(name), std::move(value), parse_postfix(parse_primary()));
    } else {
      out = node(Expression::test, line, std::move(name), std::move(value));
    }
    return negated ? node(Expression::logical_not, line, {}, std::move(out)) : std::move(out);
  }

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
  int loops_ = 0;
};

}  // namespace

Body parse(std::string_view source) { return Parser(source).run(); }

}  // namespace landfall::jinja
