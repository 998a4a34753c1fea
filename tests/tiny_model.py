"""Files of a model too small to say anything, for tests of what carries models about: as GGUF, also split, and as a
Hugging Face folder. The weights are bytes from a seed: nothing runs them."""

import json
import pathlib
import random
import struct

GOLDEN = pathlib.Path(__file__).resolve().parent / "golden/models/llama_tied"
GGUF_F32 = 0
PARTS = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
         "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def tensors(seed: int = 1) -> list[tuple[str, list[int], bytes]]:
    """(Hugging Face name, shape, float32 bytes) of every weight."""
    chance = random.Random(seed)
    rows = []
    for tensor in json.loads((GOLDEN / "golden.json").read_text())["tensors"]:
        count = 1
        for n in tensor["shape"]:
            count *= n
        rows.append((tensor["name"], tensor["shape"], struct.pack(f"<{count}f", *(chance.uniform(-1, 1) for _ in range(count)))))
    return rows


def gguf_name(name: str) -> str:
    if name == "model.embed_tokens.weight":
        return "token_embd.weight"
    if name == "model.norm.weight":
        return "output_norm.weight"
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{PARTS[rest.removesuffix('.weight')]}.weight"


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def gguf_bytes(rows: list, with_metadata: bool = True) -> bytes:
    config = json.loads((GOLDEN / "config.json").read_text())
    metadata = {"general.architecture": "llama"}
    if with_metadata:
        metadata |= {"general.license": "apache-2.0", "llama.embedding_length": config["hidden_size"],
                     "llama.block_count": config["num_hidden_layers"], "llama.attention.head_count": config["num_attention_heads"],
                     "llama.attention.head_count_kv": config["num_key_value_heads"],
                     "llama.feed_forward_length": config["intermediate_size"],
                     "llama.context_length": config["max_position_embeddings"]}
    out = b"GGUF" + struct.pack("<IQQ", 3, len(rows), len(metadata))
    for key, value in metadata.items():
        out += text(key) + (struct.pack("<I", 8) + text(value) if isinstance(value, str) else struct.pack("<II", 4, value))
    data = b""
    for name, shape, values in rows:
        out += text(gguf_name(name)) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", n) for n in reversed(shape))
        out += struct.pack("<IQ", GGUF_F32, len(data))
        data += values + bytes(-len(values) % 32)
    return out + bytes(-len(out) % 32) + data


def gguf_files(stem: str, parts: int = 1, seed: int = 1) -> dict[str, bytes]:
    """Names and contents; more than one when the model is split."""
    rows = tensors(seed)
    if parts == 1:
        return {f"{stem}.gguf": gguf_bytes(rows)}
    size = -(-len(rows) // parts)
    return {f"{stem}-{i + 1:05}-of-{parts:05}.gguf": gguf_bytes(rows[i * size:(i + 1) * size], i == 0) for i in range(parts)}


def safetensors_bytes(rows: list) -> bytes:
    header, data = {}, b""
    for name, shape, values in rows:
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    encoded = json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


def hugging_face_files(seed: int = 1) -> dict[str, bytes]:
    """Two shards with their index."""
    rows = tensors(seed)
    shards = {"model-00001-of-00002.safetensors": rows[:10], "model-00002-of-00002.safetensors": rows[10:]}
    index = {"weight_map": {row[0]: shard for shard, some in shards.items() for row in some}}
    return {"config.json": (GOLDEN / "config.json").read_bytes(), "model.safetensors.index.json": json.dumps(index).encode(),
            "README.md": b"---\nlicense: mit\n---\n# A model\n", **{name: safetensors_bytes(some) for name, some in shards.items()}}


def byte_letters() -> list[str]:
    """The letters that stand for the bytes: Latin-1 where it shows, and from U+0100 on for the others."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [b for b in range(256) if b not in shown]
    return [chr(b) if b in shown else chr(0x100 + hidden.index(b)) for b in range(256)]


def thinking_files() -> dict[str, bytes]:
    """One that can be talked to, a letter a token, and that begins each answer in thought."""
    config = json.loads((GOLDEN / "config.json").read_text())
    letters = byte_letters()
    markup = ["<|user|>", "<|answer|>", "<|end|>", "<think>", "</think>"]
    vocab = len(letters) + len(markup)
    config |= {"vocab_size": vocab, "bos_token_id": None, "eos_token_id": vocab - 3}
    rows = tensors()
    name, (_, width), values = next(row for row in rows if row[0] == "model.embed_tokens.weight")
    embedding = (values * (vocab * width * 4 // len(values) + 1))[:vocab * width * 4]
    rows = [(name, [vocab, width], embedding) if row[0] == name else row for row in rows]
    added = [{"id": len(letters) + i, "content": text, "special": not text.endswith("think>"), "single_word": False, "lstrip": False,
              "rstrip": False, "normalized": False} for i, text in enumerate(markup)]
    tokenizer = {"added_tokens": added, "normalizer": None, "decoder": {"type": "ByteLevel"}, "post_processor": None,
                 "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
                 "model": {"type": "BPE", "vocab": {letter: i for i, letter in enumerate(letters)}, "merges": []}}
    template = ("{% for m in messages %}{{ '<|user|>' if m.role == 'user' else '<|answer|>' }}{{ m.content }}<|end|>{% endfor %}"
                "{% if add_generation_prompt %}<|answer|><think>\n{% endif %}")
    return {"config.json": json.dumps(config).encode(), "model.safetensors": safetensors_bytes(rows),
            "tokenizer.json": json.dumps(tokenizer).encode(),
            "tokenizer_config.json": json.dumps({"eos_token": "<|end|>", "chat_template": template}).encode()}


def text_model_files(seed: int = 1) -> dict[str, bytes]:
    """A Hugging Face folder of a model that reads and writes bytes: 256 tokens for them, and one that ends a text."""
    vocab = 257
    chance = random.Random(seed)
    rows = []
    for tensor in json.loads((GOLDEN / "golden.json").read_text())["tensors"]:
        shape = [vocab, tensor["shape"][1]] if tensor["name"] == "model.embed_tokens.weight" else tensor["shape"]
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        numbers = [1.0] * count if len(shape) == 1 else [chance.gauss(0, 0.08) for _ in range(count)]
        rows.append((tensor["name"], shape, struct.pack(f"<{count}f", *numbers)))
    config = json.loads((GOLDEN / "config.json").read_text()) | {"vocab_size": vocab, "max_position_embeddings": 256}
    tokenizer = {"added_tokens": [{"id": 256, "content": "<|end|>", "special": True}],
                 "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
                 "model": {"type": "BPE", "vocab": {letter: byte for byte, letter in enumerate(byte_letters())}, "merges": []}}
    return {"config.json": json.dumps(config).encode(), "model.safetensors": safetensors_bytes(rows),
            "tokenizer.json": json.dumps(tokenizer).encode(),
            "tokenizer_config.json": json.dumps({"eos_token": "<|end|>"}).encode()}


def write(folder: pathlib.Path, files: dict[str, bytes]) -> pathlib.Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder
