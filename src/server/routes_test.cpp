#include "server/routes.h"

#include "server/testing.h"

namespace landfall {
namespace {

TEST(Routes, AnswersAChat) {
  RunningServer server;
  const auto reply = ask(server, chat("words"));
  EXPECT_EQ(reply.status, 200);
  const Json json = reply.json();
  EXPECT_EQ(json["model"].string(), "tiny");
  EXPECT_EQ(json["choices"].array().at(0)["message"]["content"].string(), "w0 w1 w2 ");
  EXPECT_EQ(json["choices"].array().at(0)["finish_reason"].string(), "stop");
  EXPECT_EQ(json["usage"]["prompt_tokens"].integer(), 7);
  EXPECT_EQ(json["usage"]["completion_tokens"].integer(), 3);
}

TEST(Routes, AnswersACompletion) {
  RunningServer server;
  const auto reply = ask(server, post("/v1/completions", R"({"prompt":"words","max_tokens":2,"model":"alias/tiny"})"));
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.json()["choices"].array().at(0)["text"].string(), "w0 w1 ");
}

TEST(Routes, StreamsAChat) {
  RunningServer server;
  Client client(server.port());
  client.send(chat("words", true));
  const std::string seen = client.until("0\r\n\r\n");
  EXPECT_TRUE(seen.starts_with("HTTP/1.1 200 OK\r\n"));
  EXPECT_NE(seen.find("Content-Type: text/event-stream"), std::string::npos);
  EXPECT_NE(seen.find("X-Accel-Buffering: no"), std::string::npos);
  const size_t role = seen.find("\"role\":\"assistant\""), w0 = seen.find("\"content\":\"w0 \""),
               w2 = seen.find("\"content\":\"w2 \""), end = seen.find("\"finish_reason\":\"stop\""),
               done = seen.find("data: [DONE]");
  EXPECT_TRUE(role < w0 && w0 < w2 && w2 < end && end < done && done != std::string::npos) << seen;
  client.send(get("/health"));  // the connection goes on
  EXPECT_NE(client.until("{\"status\":\"ok\"}").find("{\"status\":\"ok\"}"), std::string::npos);
}

TEST(Routes, ModelsAndHealth) {
  RunningServer server;
  EXPECT_EQ(ask(server, get("/health")).body, R"({"status":"ok"})");
  EXPECT_EQ(ask(server, get("/health?x=1")).status, 200);
  const Json list = ask(server, get("/v1/models")).json();
  EXPECT_EQ(list["object"].string(), "list");
  ASSERT_EQ(list["data"].array().size(), 1u);
  EXPECT_EQ(list["data"].array()[0]["id"].string(), "tiny");
  EXPECT_EQ(list["data"].array()[0]["context_length"].integer(), 2048);
  EXPECT_EQ(ask(server, get("/v1/models/tiny")).json()["id"].string(), "tiny");
  EXPECT_EQ(ask(server, get("/v1/models/alias%2Ftiny")).json()["id"].string(), "tiny");
  const auto none = ask(server, get("/v1/models/other"));
  EXPECT_EQ(none.status, 404);
  EXPECT_NE(none.message().find("tiny, alias/tiny"), std::string::npos);
}

TEST(Routes, HeadHasNoBody) {
  RunningServer server;
  Client client(server.port());
  client.send("HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n" + get("/health"));
  const std::string seen = client.until("{\"status\":\"ok\"}");
  EXPECT_NE(seen.find("Content-Length: 15\r\n\r\nHTTP/1.1 200 OK"), std::string::npos) << seen;
}

TEST(Routes, ErrorsOfTheClientSayWhat) {
  RunningServer server;
  const auto unknown = ask(server, chat("words").replace(0, 25, "POST /v1/chat/completionz"));
  EXPECT_EQ(unknown.status, 404);
  EXPECT_NE(unknown.message().find("/v1/chat/completions"), std::string::npos);
  const auto method = ask(server, get("/v1/chat/completions"));
  EXPECT_EQ(method.status, 405);
  EXPECT_NE(method.head.find("Allow: POST"), std::string::npos);
  EXPECT_EQ(ask(server, post("/health", "{}")).status, 405);
  const auto json = ask(server, post("/v1/chat/completions", "{\"messages\": [}"));
  EXPECT_EQ(json.status, 400);
  EXPECT_NE(json.message().find("line 1, column 15"), std::string::npos) << json.message();
  EXPECT_EQ(ask(server, post("/v1/chat/completions", "")).status, 400);
  const auto field = ask(server, post("/v1/chat/completions", R"({"messages":[{"role":"user","content":"x"}],"n":2})"));
  EXPECT_EQ(field.status, 400);
  EXPECT_EQ(field.error()["param"].string(), "n");
  const auto model =
      ask(server, post("/v1/chat/completions", R"({"model":"gpt","messages":[{"role":"user","content":"x"}]})"));
  EXPECT_EQ(model.status, 404);
  EXPECT_EQ(model.error()["code"].string(), "model_not_found");
  EXPECT_NE(model.message().find("known: tiny"), std::string::npos);
  const auto too_long = ask(server, chat("long", true));
  EXPECT_EQ(too_long.status, 400);
  EXPECT_EQ(too_long.error()["code"].string(), "context_length_exceeded");
  EXPECT_NE(too_long.message().find("9000"), std::string::npos);
}

TEST(Routes, AdaptersAreModelsThatComeAndGo) {
  RunningServer server;
  const std::string load = R"({"lora_name":"notes","lora_path":"anywhere"})";
  const auto asked = [&](const char* model) {
    return ask(server,
               post("/v1/completions", std::string(R"({"prompt":"words","max_tokens":1,"model":")") + model + "\"}"));
  };
  EXPECT_EQ(asked("notes").status, 404);
  EXPECT_EQ(ask(server, post("/v1/load_lora_adapter", load)).json()["parent"].string(), "tiny");
  const auto reply = asked("notes");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.json()["model"].string(), "notes");
  EXPECT_EQ(reply.json()["choices"].array().at(0)["text"].string(), "notesw0 ");
  EXPECT_EQ(asked("tiny").json()["choices"].array().at(0)["text"].string(), "w0 ");
  const Json list = ask(server, get("/v1/models")).json();
  ASSERT_EQ(list["data"].array().size(), 2u);
  EXPECT_EQ(list["data"].array()[1]["id"].string(), "notes");
  EXPECT_EQ(list["data"].array()[1]["parent"].string(), "tiny");
  EXPECT_EQ(ask(server, get("/v1/models/notes")).json()["id"].string(), "notes");
  EXPECT_EQ(ask(server, post("/v1/load_lora_adapter", load)).status, 400) << "it is there";
  EXPECT_EQ(
      ask(server, post("/v1/load_lora_adapter", R"({"lora_name":"notes","lora_path":"anywhere","load_inplace":true})"))
          .status,
      200);
  EXPECT_EQ(ask(server, post("/v1/unload_lora_adapter", R"({"lora_name":"notes"})")).status, 200);
  EXPECT_EQ(ask(server, post("/v1/unload_lora_adapter", R"({"lora_name":"notes"})")).status, 404);
  EXPECT_EQ(asked("notes").status, 404);
  EXPECT_EQ(ask(server, get("/v1/load_lora_adapter")).status, 405);
  const auto meanwhile = ask(server, chat("unloaded"));
  EXPECT_EQ(meanwhile.status, 404);
  EXPECT_EQ(meanwhile.error()["code"].string(), "model_not_found");
}

TEST(Routes, AnAdapterThatCannotBeLoadedIsA400WithTheCause) {
  RunningServer server;
  const auto load = [&](const std::string& body) { return ask(server, post("/v1/load_lora_adapter", body)); };
  const auto damaged = load(R"({"lora_name":"notes","lora_path":"damaged"})");
  EXPECT_EQ(damaged.status, 400);
  EXPECT_EQ(damaged.message(), "'damaged' is damaged");
  for (const char* body :
       {R"({"lora_name":"notes"})", R"({"lora_path":"anywhere"})", R"({"lora_name":7,"lora_path":"a"})",
        R"({"lora_name":"","lora_path":"a"})", R"({"lora_name":"alias/tiny","lora_path":"a"})",
        R"({"lora_name":"notes","lora_path":"a","load_inplace":"yes"})", "[]", "{"}) {
    EXPECT_EQ(load(body).status, 400) << body;
  }
  EXPECT_EQ(ask(server, post("/v1/unload_lora_adapter", "{}")).error()["param"].string(), "lora_name");
}

TEST(Routes, OverTheNetworkAdaptersStayAsTheyAre) {
  RouteOptions routes;
  routes.change_adapters = false;
  RunningServer server({}, routes);
  EXPECT_EQ(ask(server, post("/v1/load_lora_adapter", R"({"lora_name":"notes","lora_path":"anywhere"})")).status, 403);
  EXPECT_EQ(ask(server, post("/v1/unload_lora_adapter", R"({"lora_name":"notes"})")).status, 403);
}

TEST(Routes, FailuresOfTheServerTellNothingOfItsInside) {
  std::string logged;
  std::mutex mutex;
  RouteOptions routes;
  routes.log = [&](const std::string& line) {
    std::lock_guard lock(mutex);
    logged += line;
  };
  RunningServer server({}, routes);
  const auto whole = ask(server, chat("fail"));
  EXPECT_EQ(whole.status, 500);
  EXPECT_EQ(whole.body.find("secret"), std::string::npos);
  {
    std::lock_guard lock(mutex);
    EXPECT_NE(logged.find("secret /home/me"), std::string::npos);
  }
  Client client(server.port());
  client.send(chat("fail", true));
  const std::string seen = client.until("0\r\n\r\n");
  EXPECT_NE(seen.find("data: {\"error\":{"), std::string::npos);
  EXPECT_EQ(seen.find("[DONE]"), std::string::npos);
  EXPECT_EQ(seen.find("secret"), std::string::npos);
}

TEST(Routes, ABusyServerSaysSo) {
  RouteOptions routes;
  routes.running = 2;
  RunningServer server({}, routes);
  Client first(server.port()), second(server.port());
  first.send(chat("silent", true));
  second.send(chat("silent", true));
  first.until("assistant");
  second.until("assistant");
  const auto third = ask(server, chat("words"));
  EXPECT_EQ(third.status, 429);
  EXPECT_NE(third.head.find("Retry-After: 1"), std::string::npos);
  EXPECT_EQ(ask(server, get("/health")).status, 200);
  first.close();
  ASSERT_TRUE(becomes(server.model.cancelled, 1));
  EXPECT_EQ(ask(server, chat("words")).status, 200);
}

}  // namespace
}  // namespace landfall
