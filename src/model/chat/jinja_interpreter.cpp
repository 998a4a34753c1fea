#include "model/chat/jinja_interpreter.h"

#include <algorithm>
#include <cmath>

#include "model/chat/jinja_builtins.h"
#include "model/tokenizer/utf8.h"

namespace landfall::jinja {
namespace {

constexpr size_t kMaxSteps = 4'000'000;
constexpr size_t kMaxOutput = size_t{16} << 20;
constexpr int kMaxCallDepth = 600;

[[noreturn]] void too_much(std::string what) { throw Error{std::move(what), Code::resource_exhausted}; }

void require_defined(const Value& value) {
  if (value.is_undefined()) fail(value.undefined_message());
}

[[noreturn]] void no_operator(std::string_view op, const Value& a, const Value& b) {
  require_defined(a);
  require_defined(b);
  fail("cannot apply \"" + std::string(op) + "\" to " + a.type_name() + " and " + b.type_name());
}

double floor_mod(double a, double b) {
  const double rest = std::fmod(a, b);
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

int64_t integer_power(int64_t base, int64_t exponent) {
  int64_t out = 1;
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) && __builtin_mul_overflow(out, base, &out)) fail("a number is too large");
    if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) fail("a number is too large");
  }
  return out;
}

Value arithmetic(std::string_view op, const Value& a, const Value& b) {
  int64_t x, y, z = 0;
  if (a.as_integer(x) && b.as_integer(y) && op != "/") {
    bool overflow = false;
    if (op == "+") {
      overflow = __builtin_add_overflow(x, y, &z);
    } else if (op == "-") {
      overflow = __builtin_sub_overflow(x, y, &z);
    } else if (op == "*") {
      overflow = __builtin_mul_overflow(x, y, &z);
    } else if (op == "**") {
      if (y < 0) return std::pow(static_cast<double>(x), static_cast<double>(y));
      z = integer_power(x, y);
    } else {
      if (y == 0) fail("division by zero");
      if (y == -1) {
        overflow = op == "//" && __builtin_sub_overflow(0, x, &z);
      } else if (op == "//") {
        z = x / y - (x % y != 0 && (x < 0) != (y < 0) ? 1 : 0);
      } else {
        z = x % y;
        if (z != 0 && (z < 0) != (y < 0)) z += y;
      }
    }
    if (overflow) fail("a number is too large");
    return z;
  }
  const double p = a.number(), q = b.number();
  if (op == "+") return p + q;
  if (op == "-") return p - q;
  if (op == "*") return p * q;
  if (op == "**") return std::pow(p, q);
  if (q == 0) fail("division by zero");
  if (op == "/") return p / q;
  return op == "//" ? std::floor(p / q) : floor_mod(p, q);
}

Value negated(const Value& value) {
  int64_t number, out;
  if (value.as_integer(number)) {
    if (__builtin_sub_overflow(0, number, &out)) fail("a number is too large");
    return out;
  }
  if (value.is_float()) return -value.number();
  require_defined(value);
  fail("cannot negate a value of type " + value.type_name());
}

Value loop_attribute(const Loop& loop, std::string_view name) {
  const auto count = static_cast<int64_t>(loop.items.size()), index = static_cast<int64_t>(loop.index0);
  if (name == "index") return index + 1;
  if (name == "index0") return index;
  if (name == "revindex") return count - index;
  if (name == "revindex0") return count - index - 1;
  if (name == "first") return index == 0;
  if (name == "last") return index + 1 == count;
  if (name == "length") return count;
  if (name == "depth") return 1;  // counts only loops that call themselves, which there are none of
  if (name == "depth0") return 0;
  if (name == "previtem" && index > 0) return loop.items[loop.index0 - 1];
  if (name == "nextitem" && index + 1 < count) return loop.items[loop.index0 + 1];
  return Value::undefined("the loop has no attribute \"" + std::string(name) + "\" here");
}

// The characters of a text, each with its bytes.
std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> out;
  for (size_t at = 0; at < text.size();) {
    const size_t length = std::min(utf8_length(text[at]), text.size() - at);
    out.push_back(text.substr(at, length));
    at += length;
  }
  return out;
}

}  // namespace

const Value* Scope::find(std::string_view name) const {
  for (const Scope* scope = this; scope; scope = scope->parent.get()) {
    for (const auto& [key, value] : scope->variables) {
      if (key == name) return &value;
    }
  }
  return nullptr;
}

void Scope::set(std::string_view name, Value value) {
  for (auto& [key, held] : variables) {
    if (key == name) {
      held = std::move(value);
      return;
    }
  }
  variables.emplace_back(std::string(name), std::move(value));
}

// One level of recursion, of statements and expressions alike.
struct Interpreter::Level {
  explicit Level(Interpreter& run) : run(run) {
    if (++run.depth_ > kMaxCallDepth) {
      --run.depth_;  // the destructor of an object that was not made does not run
      too_much("the template calls itself too deep");
    }
  }
  ~Level() { --run.depth_; }
  Interpreter& run;
};

Interpreter::~Interpreter() {
  for (const auto& scope : captured_scopes_) scope->variables.clear();
  for (const auto& names : namespaces_) names->members.clear();
}

std::string Interpreter::run(const Body& body, const Value& context) {
  std::string out;
  out_ = &out;
  scope_ = std::make_shared<Scope>();
  for (const auto& [key, value] : context.entries()) scope_->set(key.text(), value);
  execute(body);
  return out;
}

void Interpreter::charge(size_t steps) {
  steps_ += std::min(steps, kMaxSteps);
  if (steps_ > kMaxSteps) too_much("the template takes more than " + std::to_string(kMaxSteps) + " steps");
}

void Interpreter::write(std::string_view text) {
  charge_bytes(text.size());
  if (out_->size() + text.size() > kMaxOutput) {
    too_much("the template writes more than " + std::to_string(kMaxOutput) + " bytes");
  }
  out_->append(text);
}

Value Interpreter::new_namespace(Namespace members) {
  namespaces_.push_back(std::make_shared<Namespace>(std::move(members)));
  return namespaces_.back();
}

// --- statements ---

Interpreter::Flow Interpreter::execute(const Body& body) {
  for (const Statement& statement : body) {
    charge(1);
    Flow flow;
    try {
      flow = execute(statement);
    } catch (Error& error) {
      if (error.line == 0) error.line = statement.line;
      throw;
    }
    if (flow != Flow::normal) return flow;
  }
  return Flow::normal;
}

Interpreter::Flow Interpreter::execute(const Statement& statement) {
  const Level level(*this);
  Flow flow = Flow::normal;
  switch (statement.kind) {
    case Statement::data:
      write(statement.text);
      return Flow::normal;
    case Statement::output: {
      const Value value = evaluate(*statement.value);
      if (value.is_string()) {
        write(value.string());
      } else {
        write(value.text());
      }
      return Flow::normal;
    }
    case Statement::branches:
      for (const Branch& branch : statement.branches_of) {
        if (!branch.condition || evaluate(*branch.condition).truthy()) return execute(branch.body);
      }
      return Flow::normal;
    case Statement::loop:
      return execute_loop(statement);
    case Statement::set:
      assign(statement.target, evaluate(*statement.value));
      return Flow::normal;
    case Statement::set_block: {
      Value text = captured(statement.body, flow);
      if (statement.value) {
        block_text_ = std::move(text);
        text = evaluate(*statement.value);
      }
      assign(statement.target, text);
      return flow;
    }
    case Statement::filter_block:
      block_text_ = captured(statement.body, flow);
      write(evaluate(*statement.value).text());
      return flow;
    case Statement::macro: {
      captured_scopes_.push_back(scope_);
      auto macro = std::make_shared<Callable>(Callable{Callable::macro, statement.text, {}, &statement, scope_});
      scope_->set(statement.text, Value(std::shared_ptr<const Callable>(std::move(macro))));
      return Flow::normal;
    }
    case Statement::scope: {
      auto inner = std::make_shared<Scope>(Scope{scope_, {}});
      for (const Parameter& parameter : statement.parameters) {
        inner->set(parameter.name, evaluate(*parameter.otherwise));
      }
      std::swap(scope_, inner);
      flow = execute(statement.body);
      std::swap(scope_, inner);
      return flow;
    }
    case Statement::leave:
      return Flow::leave;
    case Statement::skip:
      return Flow::skip;
  }
  return Flow::normal;
}

std::string Interpreter::captured(const Body& body, Flow& flow) {
  std::string text;
  std::string* const outer = std::exchange(out_, &text);
  auto inner = std::make_shared<Scope>(Scope{scope_, {}});
  std::swap(scope_, inner);
  flow = execute(body);  // an error ends the whole run, so nothing needs putting back then
  std::swap(scope_, inner);
  out_ = outer;
  return text;
}

Interpreter::Flow Interpreter::execute_loop(const Statement& statement) {
  auto loop = std::make_shared<Loop>();
  loop->items = iterate(evaluate(*statement.value));
  const std::shared_ptr<Scope> outer = scope_;
  const auto enter = [&](const Value& item) {
    charge(1);
    scope_ = std::make_shared<Scope>(Scope{outer, {}});
    assign(statement.target, item);
  };
  if (statement.condition) {
    List kept;
    for (const Value& item : loop->items) {
      enter(item);
      if (evaluate(*statement.condition).truthy()) kept.push_back(item);
    }
    scope_ = outer;
    loop->items = std::move(kept);
  }
  for (const Value& item : loop->items) loop->depth = std::max(loop->depth, item.depth() + 1);
  for (; loop->index0 < loop->items.size(); ++loop->index0) {
    enter(loop->items[loop->index0]);
    scope_->set("loop", loop);
    const Flow flow = execute(statement.body);
    scope_ = outer;
    if (flow == Flow::leave) break;
  }
  // As in Python templates, "else" stands for a loop over nothing.
  return loop->items.empty() ? execute(statement.otherwise) : Flow::normal;
}

void Interpreter::assign(const Target& target, const Value& value) {
  if (!target.attribute.empty()) {
    const Value* held = scope_->find(target.names[0]);
    Namespace* names = held ? held->as_namespace() : nullptr;
    if (!names) fail("only a namespace's attributes can be set, \"" + target.names[0] + "\" is none");
    for (auto& [key, old] : names->members) {
      if (key == target.attribute) {
        old = value;
        return;
      }
    }
    names->members.emplace_back(target.attribute, value);
    return;
  }
  if (!target.unpack) {
    scope_->set(target.names[0], value);
    return;
  }
  const List items = iterate(value);
  if (items.size() != target.names.size()) {
    fail("cannot unpack " + std::to_string(items.size()) + " values into " + std::to_string(target.names.size()) +
         " names");
  }
  for (size_t i = 0; i < items.size(); ++i) scope_->set(target.names[i], items[i]);
}

// --- expressions ---

List Interpreter::iterate(const Value& value) {
  List out;
  if (value.is_list()) {
    charge(value.items().size());
    return value.items();
  }
  if (value.is_dict()) {
    charge(value.entries().size());
    for (const auto& [key, item] : value.entries()) out.push_back(key);
    return out;
  }
  if (value.is_string()) {
    charge(value.string().size());
    for (const std::string_view character : characters(value.string())) out.emplace_back(character);
    return out;
  }
  if (value.is_undefined()) return out;
  fail("cannot go through a value of type " + value.type_name());
}

Value Interpreter::attribute(const Value& object, std::string_view name) {
  require_defined(object);
  if (const Loop* loop = object.as_loop()) return loop_attribute(*loop, name);
  if (const Namespace* names = object.as_namespace()) {
    for (const auto& [key, value] : names->members) {
      if (key == name) return value;
    }
  } else if (has_method(object, name)) {
    auto method = std::make_shared<Callable>(Callable{Callable::method, std::string(name), object});
    (void)Value(std::shared_ptr<const Callable>(method)).depth();  // bounded, as a value's nesting is
    return Value(std::shared_ptr<const Callable>(std::move(method)));
  } else if (object.is_dict()) {
    charge(1 + object.entries().size() / 8);
    if (const Value* found = object.find(name)) return *found;
  }
  return Value::undefined("a value of type " + object.type_name() + " has no attribute \"" + std::string(name) + "\"");
}

Value Interpreter::item(const Value& object, const Value& key) {
  require_defined(object);
  int64_t index = 0;
  if (object.is_dict()) {
    charge(1 + object.entries().size() / 8);
    if (const Value* found = object.find(key)) return *found;
  } else if ((object.is_list() || object.is_string()) && key.as_integer(index)) {
    if (object.is_string()) charge_bytes(object.string().size());
    const auto size = static_cast<int64_t>(object.is_list() ? object.items().size() : code_points(object.string()));
    if (index < 0) index += size;
    if (index < 0 || index >= size) return Value::undefined("there is no item " + key.text());
    if (object.is_list()) return object.items()[static_cast<size_t>(index)];
    return characters(object.string())[static_cast<size_t>(index)];
  }
  if (key.is_string()) return attribute(object, key.string());
  return Value::undefined("a value of type " + object.type_name() + " has no item " + key.repr().substr(0, 80));
}

bool Interpreter::contains(const Value& container, const Value& value) {
  if (container.is_string()) {
    if (!value.is_string()) no_operator("in", value, container);
    charge_bytes(container.string().size());
    return container.string().find(value.string()) != std::string::npos;
  }
  if (container.is_list()) {
    charge(container.items().size());
    return std::find(container.items().begin(), container.items().end(), value) != container.items().end();
  }
  if (container.is_dict()) {
    charge(1 + container.entries().size() / 8);
    return container.find(value) != nullptr;
  }
  if (container.is_undefined()) return false;
  fail("cannot look into a value of type " + container.type_name());
}

Arguments Interpreter::arguments_of(const Expression& expression) {
  Arguments out;
  for (size_t i = 1; i < expression.children.size(); ++i) out.positional.push_back(evaluate(*expression.children[i]));
  for (const auto& [name, value] : expression.named) out.named.emplace_back(name, evaluate(*value));
  return out;
}

Value Interpreter::evaluate(const Expression& expression) {
  const Level level(*this);
  charge(1);
  const auto child = [&](size_t i) { return evaluate(*expression.children[i]); };
  switch (expression.kind) {
    case Expression::literal:
      return expression.value;
    case Expression::name: {
      if (const Value* found = scope_->find(expression.text)) return *found;
      if (has_function(expression.text)) {
        auto function = std::make_shared<Callable>(Callable{Callable::function, expression.text, {}});
        return Value(std::shared_ptr<const Callable>(std::move(function)));
      }
      return Value::undefined("\"" + expression.text + "\" is undefined");
    }
    case Expression::list:
    case Expression::tuple: {
      List items;
      for (const ExpressionPtr& item : expression.children) items.push_back(evaluate(*item));
      return expression.kind == Expression::list ? Value::list(std::move(items)) : Value::tuple(std::move(items));
    }
    case Expression::dict: {
      Entries entries;
      for (size_t i = 0; i + 1 < expression.children.size(); i += 2) {
        Value key = child(i), value = child(i + 1);
        const auto same = std::find_if(entries.begin(), entries.end(), [&](const auto& e) { return e.first == key; });
        if (same != entries.end()) {
          same->second = std::move(value);
        } else {
          entries.emplace_back(std::move(key), std::move(value));
        }
      }
      return Value::dict(std::move(entries));
    }
    case Expression::negate:
      return negated(child(0));
    case Expression::plus: {
      Value value = child(0);
      if (value.is_number()) return value;
      require_defined(value);
      fail("\"+\" needs a number, not " + value.type_name());
    }
    case Expression::logical_not:
      return !child(0).truthy();
    case Expression::logical_and: {
      Value left = child(0);
      return left.truthy() ? child(1) : left;
    }
    case Expression::logical_or: {
      Value left = child(0);
      return left.truthy() ? left : child(1);
    }
    case Expression::binary:
      return evaluate_binary(expression);
    case Expression::concat: {
      std::string text;
      for (const ExpressionPtr& part : expression.children) text += evaluate(*part).text();
      charge_bytes(text.size());
      return text;
    }
    case Expression::compare:
      return evaluate_compare(expression);
    case Expression::conditional:
      if (child(1).truthy()) return child(0);
      if (expression.children[2]) return child(2);
      return Value::undefined("the condition of an \"if\" without \"else\" is false");
    case Expression::attribute:
      return attribute(child(0), expression.text);
    case Expression::item: {
      const Value object = child(0);
      return item(object, child(1));
    }
    case Expression::slice:
      return evaluate_slice(expression);
    case Expression::call:
      return evaluate_call(expression);
    case Expression::filter: {
      const Value value = expression.children[0] ? child(0) : std::exchange(block_text_, Value());
      const Arguments arguments = arguments_of(expression);
      if (value.is_string()) charge_bytes(value.string().size());
      return call_filter(*this, expression.text, value, arguments);
    }
    case Expression::test: {
      const Value value = child(0);
      return call_test(*this, expression.text, value, arguments_of(expression));
    }
  }
  return {};
}

Value Interpreter::evaluate_binary(const Expression& expression) {
  const Value a = evaluate(*expression.children[0]), b = evaluate(*expression.children[1]);
  const std::string& op = expression.text;
  if (a.is_number() && b.is_number()) return arithmetic(op, a, b);
  if (op == "+" && a.is_string() && b.is_string()) {
    charge_bytes(a.string().size() + b.string().size());
    return a.string() + b.string();
  }
  if (op == "+" && a.is_list() && b.is_list() && a.is_tuple() == b.is_tuple()) {
    charge(a.items().size() + b.items().size());
    List items = a.items();
    items.insert(items.end(), b.items().begin(), b.items().end());
    return a.is_tuple() ? Value::tuple(std::move(items)) : Value::list(std::move(items));
  }
  if (op == "*" && (a.is_number() || b.is_number())) {
    const Value& repeated = a.is_number() ? b : a;
    int64_t count;
    if ((a.is_number() ? a : b).as_integer(count) && (repeated.is_string() || repeated.is_list())) {
      const size_t length = repeated.is_string() ? repeated.string().size() : repeated.items().size();
      const size_t times = count > 0 && length > 0 ? static_cast<size_t>(count) : 0;
      if (times > kMaxOutput) too_much("a value is repeated " + std::to_string(times) + " times");
      if (repeated.is_string()) {
        charge_bytes(times * length);  // below 2^64: one is bounded by the steps, the other just above
        std::string text;
        for (size_t i = 0; i < times; ++i) text += repeated.string();
        return text;
      }
      charge(times * length);
      List items;
      for (size_t i = 0; i < times; ++i) {
        items.insert(items.end(), repeated.items().begin(), repeated.items().end());
      }
      return repeated.is_tuple() ? Value::tuple(std::move(items)) : Value::list(std::move(items));
    }
  }
  if (op == "%" && a.is_string()) return format_percent(*this, a.string(), b);
  no_operator(op, a, b);
}

Value Interpreter::evaluate_compare(const Expression& expression) {
  Value left = evaluate(*expression.children[0]);
  for (size_t i = 0; i < expression.operators.size(); ++i) {
    Value right = evaluate(*expression.children[i + 1]);
    const std::string& op = expression.operators[i];
    bool holds;
    if (op == "in" || op == "not in") {
      holds = contains(right, left) == (op == "in");
    } else if (op == "==" || op == "!=") {
      holds = (left == right) == (op == "==");
    } else if (left.is_float() && std::isnan(left.number())) {
      holds = false;
    } else if (op == "<" || op == ">") {
      holds = op == "<" ? left.less(right) : right.less(left);
    } else {
      holds = op == "<=" ? !right.less(left) : !left.less(right);
    }
    if (!holds) return false;
    left = std::move(right);
  }
  return true;
}

Value Interpreter::evaluate_slice(const Expression& expression) {
  const Value object = evaluate(*expression.children[0]);
  Value bounds[3];
  for (size_t i = 0; i < 3; ++i) {
    if (expression.children[i + 1]) bounds[i] = evaluate(*expression.children[i + 1]);
  }
  require_defined(object);
  if (object.is_list()) {
    charge(object.items().size());
    List items;
    for (const size_t i : slice_indices(object.items().size(), bounds[0], bounds[1], bounds[2])) {
      items.push_back(object.items()[i]);
    }
    return object.is_tuple() ? Value::tuple(std::move(items)) : Value::list(std::move(items));
  }
  if (!object.is_string()) fail("cannot slice a value of type " + object.type_name());
  charge(1 + object.string().size() / 4);
  const std::vector<std::string_view> parts = characters(object.string());
  std::string text;
  for (const size_t i : slice_indices(parts.size(), bounds[0], bounds[1], bounds[2])) text += parts[i];
  return text;
}

Value Interpreter::evaluate_call(const Expression& expression) {
  const Value callee = evaluate(*expression.children[0]);
  const Arguments arguments = arguments_of(expression);
  const Callable* callable = callee.as_callable();
  if (!callable) {
    require_defined(callee);
    fail("a value of type " + callee.type_name() + " cannot be called");
  }
  if (callable->kind == Callable::function) return call_function(*this, callable->name, arguments);
  if (callable->kind == Callable::macro) return call_macro(*callable, arguments);
  if (callable->self.is_string()) charge_bytes(callable->self.string().size());
  return call_method(*this, callable->self, callable->name, arguments);
}

Value Interpreter::call_macro(const Callable& macro, const Arguments& arguments) {
  const std::vector<Parameter>& parameters = macro.body->parameters;
  if (arguments.positional.size() > parameters.size()) {
    fail("the macro \"" + macro.name + "\" takes " + std::to_string(parameters.size()) + " arguments, " +
         std::to_string(arguments.positional.size()) + " are given");
  }
  for (const auto& [name, value] : arguments.named) {
    if (std::none_of(parameters.begin(), parameters.end(),
                     [&name = name](const Parameter& p) { return p.name == name; })) {
      fail("the macro \"" + macro.name + "\" has no argument named \"" + name + "\"");
    }
  }
  auto caller = std::make_shared<Scope>(Scope{macro.scope, {}});
  std::swap(scope_, caller);
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& parameter = parameters[i];
    if (const Value* given = arguments.get(i, parameter.name)) {
      scope_->set(parameter.name, *given);
    } else if (parameter.otherwise) {
      scope_->set(parameter.name, evaluate(*parameter.otherwise));
    } else {
      scope_->set(parameter.name, Value::undefined("the argument \"" + parameter.name + "\" is not given"));
    }
  }
  Flow flow;
  std::string text = captured(macro.body->body, flow);
  std::swap(scope_, caller);
  return text;
}

}  // namespace landfall::jinja
