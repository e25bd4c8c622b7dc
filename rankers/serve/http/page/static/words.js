// Numbers and scores as people read them.

export const count = (number) => number.toLocaleString("en");

export const plural = (number, one, many = `${one}s`) =>
  `${count(number)} ${number === 1 ? one : many}`;

export const seconds = (value) =>
  value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(value < 10 ? 2 : 1)} s`;

// Of each score_kind of /v1/models. Those without `shown` say nothing beyond the order.
export const SCORES = {
  rank: { means: "An order alone: this method gives no scores" },
  wins: { means: "Share of the duels won", shown: true },
  probability: { means: "Probability of being relevant", shown: true },
  log_odds: { means: "Probability of being relevant", shown: true },
  log_likelihood: { means: "Probability of the query given the document, per token", shown: true },
  cosine: { means: "Closeness to the query, from 0 to 1", shown: true },
  logit: { means: "Relevance from 0 to 1 (sigmoid of the score)", shown: true },
};

const MALFORMED = { wrong_format: "in another format", repetition: "repeating itself", missing: "incomplete" };

// What there is to warn of in an answer of /v1/rerank, as sentences.
export function notices(answer) {
  const { trace } = answer.rlpost;
  const said = (answer.meta.warnings ?? []).map((warning) => `${capital(warning)}.`);
  const bad = Object.entries(trace.malformed).filter(([kind, number]) => kind !== "ok" && number);
  if (bad.length) {
    const all = Object.values(trace.malformed).reduce((sum, number) => sum + number, 0);
    const kinds = bad.map(([kind, number]) => `${count(number)} ${MALFORMED[kind] ?? kind}`);
    const number = bad.reduce((sum, [, some]) => sum + some, 0);
    said.push(`Malformed answers: ${count(number)} of ${count(all)} (${kinds.join(", ")}), used as far as they could be read.`);
  }
  if (trace.truncated) said.push(`Passages were cut to fit into a prompt, ${plural(trace.truncated, "time")}.`);
  return said;
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
