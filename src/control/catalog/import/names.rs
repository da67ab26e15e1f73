//! One name for one model: from what each host calls it to `author/slug`, so that an open-weight model is
//! joined across its hosts.
//!
//! Deliberately absent: facts about models. A name that no rule knows keeps its own spelling, and so at worst
//! stands alone.

use crate::policy::catalog::{Quantization, Tokenizer};

/// A host's name of a model, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Canonical {
    /// `author/slug`, lower case.
    pub(super) id: Box<str>,
    /// A second offer of the same model, such as `turbo`.
    pub(super) variant: Option<Box<str>>,
    /// Number format, when the name says so.
    pub(super) quantization: Option<Quantization>,
}

/// Ids of providers as others write them, and as `catalog/providers.toml` does.
const PROVIDERS: [(&str, &str); 25] = [
    ("together_ai", "together"),
    ("togetherai", "together"),
    ("fireworks_ai", "fireworks"),
    ("fireworks-ai", "fireworks"),
    ("gemini", "google"),
    ("google-ai-studio", "google"),
    ("dashscope", "alibaba"),
    ("alibaba-cn", ""),
    ("cohere_chat", "cohere"),
    ("lambda_ai", "lambda"),
    ("featherless_ai", "featherless"),
    ("moonshotai", "moonshot"),
    ("moonshotai-cn", ""),
    ("z-ai", "zai"),
    ("zhipuai", ""),
    ("x-ai", "xai"),
    ("novita-ai", "novita"),
    ("novitaai", "novita"),
    ("nvidia-nim", "nvidia"),
    ("deep-infra", "deepinfra"),
    ("samba-nova", "sambanova"),
    ("ollama-cloud", "ollama-cloud"),
    ("hugging-face", "huggingface"),
    ("minimax-cn", ""),
    ("cloudflare-workers-ai", "cloudflare"),
];

/// The provider's id here; `None` when it is known to be another service than the one of that name.
pub(super) fn provider(name: &str) -> Option<&str> {
    let found = PROVIDERS.iter().find(|(theirs, _)| *theirs == name);
    Some(found.map_or(name, |(_, ours)| ours)).filter(|name| !name.is_empty())
}

/// How a family of models is called: beginning of the slug, author, tokenizer. The first that fits counts.
const FAMILIES: [(&str, &str, Tokenizer); 67] = [
    ("gpt-oss", "openai", Tokenizer::Gpt),
    ("gpt-", "openai", Tokenizer::Gpt),
    ("chatgpt", "openai", Tokenizer::Gpt),
    ("chat-latest", "openai", Tokenizer::Gpt),
    ("codex", "openai", Tokenizer::Gpt),
    ("o1", "openai", Tokenizer::Gpt),
    ("o3", "openai", Tokenizer::Gpt),
    ("o4", "openai", Tokenizer::Gpt),
    ("text-embedding", "openai", Tokenizer::Gpt),
    ("computer-use-preview", "openai", Tokenizer::Gpt),
    ("claude", "anthropic", Tokenizer::Claude),
    ("gemini", "google", Tokenizer::Gemini),
    ("gemma", "google", Tokenizer::Gemini),
    ("codegemma", "google", Tokenizer::Gemini),
    ("learnlm", "google", Tokenizer::Gemini),
    ("grok", "x-ai", Tokenizer::Grok),
    ("deepseek-r1-distill-qwen", "deepseek", Tokenizer::Qwen),
    ("deepseek-r1-distill-llama", "deepseek", Tokenizer::Llama3),
    ("deepseek", "deepseek", Tokenizer::DeepSeek),
    ("qwen3", "qwen", Tokenizer::Qwen3),
    ("qwen", "qwen", Tokenizer::Qwen),
    ("qwq", "qwen", Tokenizer::Qwen),
    ("qvq", "qwen", Tokenizer::Qwen),
    ("llama-3.1-nemotron", "nvidia", Tokenizer::Llama3),
    ("llama-3.3-nemotron", "nvidia", Tokenizer::Llama3),
    ("nemotron", "nvidia", Tokenizer::Other),
    ("llama-4", "meta-llama", Tokenizer::Llama4),
    ("llama-3", "meta-llama", Tokenizer::Llama3),
    ("llama-2", "meta-llama", Tokenizer::Llama2),
    ("llama-guard-4", "meta-llama", Tokenizer::Llama4),
    ("llama-guard", "meta-llama", Tokenizer::Llama3),
    ("llama-prompt-guard", "meta-llama", Tokenizer::Other),
    ("codellama", "meta-llama", Tokenizer::Llama2),
    ("code-llama", "meta-llama", Tokenizer::Llama2),
    ("kimi", "moonshotai", Tokenizer::Other),
    ("moonshot", "moonshotai", Tokenizer::Other),
    ("glm", "z-ai", Tokenizer::Other),
    ("autoglm", "z-ai", Tokenizer::Other),
    ("minimax", "minimax", Tokenizer::Other),
    ("mistral", "mistralai", Tokenizer::Mistral),
    ("open-mistral", "mistralai", Tokenizer::Mistral),
    ("open-mixtral", "mistralai", Tokenizer::Mistral),
    ("mixtral", "mistralai", Tokenizer::Mistral),
    ("ministral", "mistralai", Tokenizer::Mistral),
    ("codestral", "mistralai", Tokenizer::Mistral),
    ("devstral", "mistralai", Tokenizer::Mistral),
    ("magistral", "mistralai", Tokenizer::Mistral),
    ("pixtral", "mistralai", Tokenizer::Mistral),
    ("voxtral", "mistralai", Tokenizer::Mistral),
    ("hermes-2-pro-llama-3", "nousresearch", Tokenizer::Llama3),
    ("hermes-3-llama-3.1", "nousresearch", Tokenizer::Llama3),
    ("hermes", "nousresearch", Tokenizer::Llama3),
    ("phi-", "microsoft", Tokenizer::Other),
    ("wizardlm", "microsoft", Tokenizer::Mistral),
    ("command", "cohere", Tokenizer::Cohere),
    ("c4ai", "cohere", Tokenizer::Cohere),
    ("embed-", "cohere", Tokenizer::Cohere),
    ("sonar", "perplexity", Tokenizer::Other),
    ("pplx", "perplexity", Tokenizer::Other),
    ("yi-", "01-ai", Tokenizer::Yi),
    ("lfm", "liquid", Tokenizer::Other),
    ("ernie", "baidu", Tokenizer::Other),
    ("mimo", "xiaomi", Tokenizer::Other),
    ("starcoder", "bigcode", Tokenizer::Other),
    ("inkling", "thinkingmachines", Tokenizer::Other),
    ("muse-", "meta-models", Tokenizer::Other),
    ("mythomax", "gryphe", Tokenizer::Llama2),
];

/// Authors as hosts write them.
const AUTHORS: [(&str, &str); 18] = [
    ("deepseek-ai", "deepseek"),
    ("zai-org", "z-ai"),
    ("zai", "z-ai"),
    ("thudm", "z-ai"),
    ("minimaxai", "minimax"),
    ("xai", "x-ai"),
    ("xiaomimimo", "xiaomi"),
    ("meta", "meta-llama"),
    ("metaai", "meta-llama"),
    ("mistral", "mistralai"),
    ("moonshot", "moonshotai"),
    ("alibaba", "qwen"),
    ("gemini", "google"),
    ("coherelabs", "cohere"),
    ("cohereforai", "cohere"),
    ("nous-research", "nousresearch"),
    ("codellama", "meta-llama"),
    ("togethercomputer", "together"),
];

/// Slugs that say the same in other words, after the rules below.
const RENAMED: [(&str, &str); 22] = [
    ("llama-3.3-70b", "llama-3.3-70b-instruct"),
    ("llama-4-maverick-instruct-basic", "llama-4-maverick-17b-128e-instruct"),
    ("llama-4-scout-instruct-basic", "llama-4-scout-17b-16e-instruct"),
    ("llama-4-maverick", "llama-4-maverick-17b-128e-instruct"),
    ("llama-4-scout", "llama-4-scout-17b-16e-instruct"),
    ("deepseek-r1-671b", "deepseek-r1"),
    ("hermes3-405b", "hermes-3-llama-3.1-405b"),
    ("hermes3-70b", "hermes-3-llama-3.1-70b"),
    ("hermes3-8b", "hermes-3-llama-3.1-8b"),
    ("qwen25-coder-32b-instruct", "qwen2.5-coder-32b-instruct"),
    ("kimi-k2", "kimi-k2-instruct"),
    ("kimi-k2-0905", "kimi-k2-instruct-0905"),
    ("mixtral-8x22b-instruct-hf", "mixtral-8x22b-instruct"),
    ("mistral-nemo-instruct-2407", "mistral-nemo"),
    ("deepseek-chat-v3-0324", "deepseek-v3-0324"),
    ("deepseek-chat-v3.1", "deepseek-v3.1"),
    ("code-llama-34b-instruct", "codellama-34b-instruct"),
    ("code-llama-70b-instruct", "codellama-70b-instruct"),
    ("glm-4.5-vision", "glm-4.5v"),
    ("llama-3.1-405b", "llama-3.1-405b-instruct"),
    ("qwen3-235b-a22b-instruct", "qwen3-235b-a22b-instruct-2507"),
    ("nemotron-3-super-120b", "nemotron-3-super-120b-a12b"),
];

/// Endings that name a number format.
const FORMATS: [(&str, Quantization); 8] = [
    ("-fp8", Quantization::Fp8),
    ("-fp4", Quantization::Fp4),
    ("-nvfp4", Quantization::Nvfp4),
    ("-mxfp4", Quantization::Mxfp4),
    ("-bf16", Quantization::Bf16),
    ("-fp16", Quantization::Fp16),
    ("-int8", Quantization::Int8),
    ("-int4", Quantization::Int4),
];

/// Endings that hosts of other people's models put on a faster or a cheaper offer.
const VARIANTS: [&str; 3] = ["turbo", "fast", "lite"];

/// Providers that host their own models only: their endings are part of the model's name.
const OWN_MODELS_ONLY: [&str; 9] =
    ["openai", "anthropic", "google", "xai", "deepseek", "alibaba", "moonshot", "minimax", "zai"];

/// The name of a model, from a provider's id and its own name of the model.
pub(super) fn canonical(provider: &str, name: &str) -> Canonical {
    let lower = name.to_ascii_lowercase();
    let path = lower.strip_prefix("accounts/fireworks/models/").unwrap_or(&lower);
    let (author, last) = match path.rsplit_once('/') {
        Some((before, last)) => (before.rsplit('/').next(), last),
        None => (None, path),
    };
    let (last, tag) = last.split_once(':').unwrap_or((last, ""));
    let mut slug = spelled(last);
    let mut quantization = None;
    for (ending, format) in FORMATS {
        if let Some(rest) = slug.strip_suffix(ending) {
            (slug, quantization) = (rest.to_owned(), Some(format));
            break;
        }
    }
    let mut variant: Option<Box<str>> = None;
    if !OWN_MODELS_ONLY.contains(&provider) && provider != "mistral" && provider != "perplexity" {
        for ending in VARIANTS {
            if let Some(rest) = slug.strip_suffix(ending).and_then(|rest| rest.strip_suffix('-')) {
                (slug, variant) = (rest.to_owned(), Some(ending.into()));
                break;
            }
        }
    }
    if let Some((_, new)) = RENAMED.iter().find(|(old, _)| *old == slug) {
        (*new).clone_into(&mut slug);
    }
    let author = family(&slug).map_or_else(|| author_of(provider, author), |(author, _)| author.to_owned());
    // A free or an extended offer of an aggregator is a model of its own there.
    let tag = if tag.is_empty() { String::new() } else { format!(":{tag}") };
    Canonical { id: format!("{author}/{slug}{tag}").into(), variant, quantization }
}

/// Author and tokenizer of the family a slug belongs to.
fn family(slug: &str) -> Option<(&'static str, Tokenizer)> {
    let found = FAMILIES.iter().find(|(begin, ..)| slug.starts_with(begin));
    found.map(|(_, author, tokenizer)| (*author, *tokenizer))
}

/// Authors that host their models themselves, and where.
const HOMES: [(&str, &str); 12] = [
    ("openai", "openai"),
    ("anthropic", "anthropic"),
    ("google", "google"),
    ("x-ai", "xai"),
    ("deepseek", "deepseek"),
    ("moonshotai", "moonshot"),
    ("mistralai", "mistral"),
    ("cohere", "cohere"),
    ("z-ai", "zai"),
    ("minimax", "minimax"),
    ("qwen", "alibaba"),
    ("perplexity", "perplexity"),
];

/// What an author itself calls its model, without a prefix: clients that came from there still ask for that.
pub(super) fn own_name(id: &str, provider: &str, name: &str) -> Vec<Box<str>> {
    let author = id.split_once('/').map_or("", |(author, _)| author);
    let home = HOMES.contains(&(author, provider)) && !name.contains('/');
    home.then(|| name.into()).into_iter().collect()
}

/// How the tokens of a model are counted, as far as its name tells.
pub(super) fn tokenizer(id: &str) -> Option<Tokenizer> {
    let slug = id.split_once('/').map_or(id, |(_, slug)| slug);
    family(slug).map(|(_, tokenizer)| tokenizer).filter(|tokenizer| *tokenizer != Tokenizer::Other)
}

fn author_of(provider: &str, author: Option<&str>) -> String {
    let written = author.unwrap_or(provider);
    let found = AUTHORS.iter().find(|(theirs, _)| *theirs == written);
    found.map_or(written, |(_, ours)| ours).to_owned()
}

/// A slug in one spelling: version numbers with points, family names with a dash before their number.
fn spelled(slug: &str) -> String {
    let mut slug = pointed(slug);
    for (old, new) in [
        ("meta-llama-", "llama-"),
        ("nvidia-nemotron", "nemotron"),
        ("zai-glm-", "glm-"),
        ("glm-4-5", "glm-4.5"),
        ("glm-5-2", "glm-5.2"),
        ("glm-5-3", "glm-5.3"),
        ("llama-v3", "llama-3"),
        ("llama-v2", "llama-2"),
        ("llama3", "llama-3"),
        ("llama4", "llama-4"),
        ("qwen-2.5", "qwen2.5"),
        ("qwen-3", "qwen3"),
        ("qwen-2-", "qwen2-"),
        ("gemma2-", "gemma-2-"),
    ] {
        if let Some(rest) = slug.strip_prefix(old) {
            slug = format!("{new}{rest}");
        }
    }
    if slug.starts_with("claude") {
        slug = claude(&slug);
    }
    slug
}

/// `3p1` and `3_1` between digits are 3.1.
fn pointed(slug: &str) -> String {
    let bytes = slug.as_bytes();
    let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    slug.char_indices()
        .map(|(at, c)| match c {
            'p' | '_' if digit(at.checked_sub(1)) && digit(Some(at + 1)) => '.',
            '_' => '-',
            c => c,
        })
        .collect()
}

/// Anthropic writes the version with dashes; a date of eight digits is no version.
fn claude(slug: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in slug.split('-') {
        let small = |text: &str| text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        match parts.last_mut() {
            Some(last) if small(part) && small(last) => {
                last.push('.');
                last.push_str(part);
            }
            _ => parts.push(part.to_owned()),
        }
    }
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(provider: &str, name: &str, id: &str) {
        assert_eq!(&*canonical(provider, name).id, id, "{provider} {name}");
    }

    #[test]
    fn hosts_agree_on_a_name() {
        for (provider, name) in [
            ("cerebras", "llama-3.3-70b"),
            ("deepinfra", "meta-llama/Llama-3.3-70B-Instruct"),
            ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
            ("lambda", "llama3.3-70b-instruct-fp8"),
            ("sambanova", "Meta-Llama-3.3-70B-Instruct"),
            ("fireworks", "accounts/fireworks/models/llama-v3p3-70b-instruct"),
        ] {
            check(provider, name, "meta-llama/llama-3.3-70b-instruct");
        }
        check(
            "fireworks",
            "accounts/fireworks/models/deepseek-v3p1-terminus",
            "deepseek/deepseek-v3.1-terminus",
        );
        check("baseten", "deepseek-ai/DeepSeek-V3.1-Terminus", "deepseek/deepseek-v3.1-terminus");
        check("mistral", "zai-glm-5-2", "z-ai/glm-5.2");
        check("novita", "zai-org/glm-4.7", "z-ai/glm-4.7");
        check("fireworks", "accounts/fireworks/models/glm-4p7", "z-ai/glm-4.7");
        check("novita", "qwen/qwen-2.5-72b-instruct", "qwen/qwen2.5-72b-instruct");
    }

    #[test]
    fn first_party_names_keep_their_endings() {
        check("anthropic", "claude-haiku-4-5-20251001", "anthropic/claude-haiku-4.5-20251001");
        check("perplexity", "anthropic/claude-opus-4-6", "anthropic/claude-opus-4.6");
        check("openai", "gpt-4-turbo", "openai/gpt-4-turbo");
        check("xai", "grok-code-fast", "x-ai/grok-code-fast");
        check("openrouter", "openai/gpt-oss-20b:free", "openai/gpt-oss-20b:free");
        check("nebius", "BAAI/bge-en-icl", "baai/bge-en-icl");
    }

    #[test]
    fn endings_are_variants_and_formats() {
        let turbo = canonical("deepinfra", "openai/gpt-oss-120b-Turbo");
        assert_eq!((&*turbo.id, turbo.variant.as_deref()), ("openai/gpt-oss-120b", Some("turbo")));
        let fp8 = canonical("together", "Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8");
        assert_eq!(&*fp8.id, "qwen/qwen3-coder-480b-a35b-instruct");
        assert_eq!(fp8.quantization, Some(Quantization::Fp8));
    }
}
