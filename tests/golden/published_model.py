"""PublishedModel: the modelling code that the authors or transformers published, in float32 with eager attention."""

import ast
import importlib
import importlib.util
import json
import os
import sys
import types

import torch
import transformers

from model_weights import is_moe_layer
from plain_model import rope_scaling, yarn_cos_sin_factor, yarn_g


def load_published_deepseek(path):
    """Imports the modelling file of DeepSeek-MoE-16B, written for transformers 4.36: names that are gone since are
    replaced by stubs that this use never calls, apart from the causal mask, which is made here."""

    def causal_mask(_attention_mask, input_shape, embeds, _past):
        t = input_shape[1]
        return torch.full((t, t), torch.finfo(embeds.dtype).min).triu(1)[None, None]

    replacements = {
        "_prepare_4d_causal_attention_mask": causal_mask,
        "ALL_LAYERNORM_LAYERS": [],
        "is_torch_greater_or_equal_than_1_13": True,
        "is_torch_fx_available": lambda: False,
        "is_flash_attn_2_available": lambda: False,
        "add_start_docstrings": lambda *_a, **_k: lambda f: f,
        "add_start_docstrings_to_model_forward": lambda *_a, **_k: lambda f: f,
        "replace_return_docstrings": lambda *_a, **_k: lambda f: f,
    }
    folder = os.path.dirname(os.path.abspath(path))
    for node in ast.walk(ast.parse(open(path).read())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("transformers"):
            try:
                module = importlib.import_module(node.module)
            except ImportError:
                module = sys.modules[node.module] = types.ModuleType(node.module)
            for alias in node.names:
                if alias.name in replacements:
                    setattr(module, alias.name, replacements[alias.name])
                elif not hasattr(module, alias.name):
                    setattr(module, alias.name, None)
    package = types.ModuleType("published_deepseek")
    package.__path__ = [folder]
    sys.modules["published_deepseek"] = package
    loaded = {}
    for name in ("configuration_deepseek", "modeling_deepseek"):
        spec = importlib.util.spec_from_file_location("published_deepseek." + name, os.path.join(folder, name + ".py"))
        loaded[name] = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded[name])
    modeling = loaded["modeling_deepseek"]
    modeling.DeepseekForCausalLM.post_init = lambda self: None
    modeling.DeepseekModel.post_init = lambda self: None
    return loaded["configuration_deepseek"].DeepseekConfig, modeling.DeepseekForCausalLM


class PublishedModel:
    """logits(ids) in float32 by the published code; .deviations says what had to be corrected in it."""

    def __init__(self, cfg, weights, deepseek):
        self.kind = cfg["model_type"]
        self.deviations = []
        if self.kind == "deepseek":
            config_class, model_class = deepseek
            config = config_class(**cfg)
            # Newer transformers turns a missing section into a default one; the file asks for None.
            config.rope_parameters = None
        else:
            config_class = transformers.models.auto.configuration_auto.CONFIG_MAPPING[self.kind]
            model_class = transformers.models.auto.modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING[config_class]
            # The published file is read as it is, but for the quantization: the weights come multiplied out.
            read = json.loads(json.dumps(cfg))
            read.pop("quantization_config", None)
            config = config_class(**read)
        config._attn_implementation = "eager"
        self.model = model_class(config).float().eval()
        self.fill(cfg, weights)
        self.follow_release(cfg)
        self.routes = {}
        for layer in range(cfg["num_hidden_layers"]):
            if is_moe_layer(cfg, layer):
                self.model.model.layers[layer].mlp.gate.register_forward_hook(self.record(layer, cfg))

    @staticmethod
    def stacked(cfg, name):
        """The file's names of what the model has as one parameter, for each expert those side by side; else None."""
        if not name.endswith((".experts.gate_up_proj", ".experts.down_proj")):
            return None
        base, part = name.rsplit(".", 1)
        parts = ("gate_proj", "up_proj") if part == "gate_up_proj" else ("down_proj",)
        return [[f"{base}.{e}.{p}.weight" for p in parts] for e in range(cfg["n_routed_experts"])]

    def fill(self, cfg, weights):
        last = cfg["num_hidden_layers"]
        unused = {n for n in weights if n.startswith("model.layers.") and int(n.split(".")[2]) >= last}
        for name, target in self.model.state_dict().items():
            if name.endswith("rotary_emb.inv_freq") or (name == "lm_head.weight" and cfg["tie_word_embeddings"]):
                continue
            if sources := self.stacked(cfg, name):
                value = torch.stack([torch.cat([weights[n] for n in names]) for names in sources])
                used = {n for names in sources for n in names}
            else:
                value, used = weights[name], {name}
            assert value.shape == target.shape, (name, value.shape, target.shape)
            target.copy_(value)
            unused |= used
        assert unused == set(weights), set(weights) - unused

    def follow_release(self, cfg):
        """Corrects what transformers computes otherwise than the code its authors released."""
        section, kind = rope_scaling(cfg)
        if kind != "yarn":
            return
        rotary = self.model.model.rotary_emb
        factor = yarn_cos_sin_factor(section)
        if abs(rotary.attention_scaling - factor) > 1e-9:
            theirs = rotary.attention_scaling
            self.deviations.append(f"factor of cos and sin: transformers {theirs:.7g}, here {factor:.7g}")
            rotary.attention_scaling = factor
        if "kv_lora_rank" in cfg:
            scale = (cfg["qk_nope_head_dim"] + cfg["qk_rope_head_dim"]) ** -0.5
            scale *= yarn_g(section["factor"], section.get("mscale_all_dim", 0)) ** 2
            for layer in self.model.model.layers:
                theirs = layer.self_attn.scaling
                if abs(theirs - scale) > 1e-9:
                    self.deviations.append(f"softmax scale: transformers {theirs:.7g}, here {scale:.7g}")
                    layer.self_attn.scaling = scale

    def record(self, layer, cfg):
        def hook(_module, _inputs, output):
            weights, index = (output[1], output[0]) if self.kind == "deepseek" else (output[1], output[2])
            dense = torch.zeros(index.shape[0], cfg["n_routed_experts"])
            self.routes[layer] = dense.scatter_(1, index, weights.float())

        return hook

    def gradients(self, cfg):
        """By the file's names, after backward()."""
        out = {}
        for name, parameter in self.model.named_parameters():
            if parameter.grad is None:
                continue
            if sources := self.stacked(cfg, name):
                for names, gradient in zip(sources, parameter.grad):
                    out |= dict(zip(names, gradient.chunk(len(names))))
            else:
                out[name] = parameter.grad
        return out

    @torch.no_grad()
    def logits(self, ids):
        return self.model(torch.tensor([ids]), use_cache=False).logits[0].float()

    @torch.no_grad()
    def stepwise_logits(self, ids, prompt):
        out = self.model(torch.tensor([ids[:prompt]]), use_cache=True)
        rows = [out.logits[0]]
        for token in ids[prompt:]:
            out = self.model(torch.tensor([[token]]), past_key_values=out.past_key_values, use_cache=True)
            rows.append(out.logits[0])
        return torch.cat(rows).float()
