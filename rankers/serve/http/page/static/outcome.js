// What came of it: the sentence, the figures, what to beware of, the two orders, the model's words.

import * as board from "./board.js";
import { count, notices, plural, seconds } from "./words.js";

const ORDERS = { pasted: "Order given", file: "Order of the file", collection: "BM25" };

const $ = (id) => document.getElementById(id);

// `other`, the answer of a second model, stands in the place of the first order where there is one.
// Returns it in words.
export function showOutcome({ documents, source, relevant }, answer, other) {
  const before = other ? columnOf(other) : { title: ORDERS[source], order: [...documents.keys()] };
  const after = columnOf(answer);
  const changed = board.moved(before, after);
  const [some, none] = other ? ["ranked differently", "all ranked alike"] : ["moved", "none moved"];
  const outcome = `${plural(documents.length, "document")}, ${changed ? `${count(changed)} ${some}` : none}`;
  $("outcome").textContent = outcome;
  const all = other ? [answer, other] : [answer];
  const facts = all.map((one) => [...(other ? [["model", one.model]] : []), ...factsOf(one)]);
  if (relevant !== undefined) {
    const [from, to] = [before, after].map((column) => column.order.indexOf(relevant) + 1);
    facts[0].unshift(["answer's rank", `${from} \u2192 ${to}`]);
  }
  $("facts").replaceChildren(...facts.map(factList));
  const said = all.flatMap((one) => notices(one).map((notice) => (other ? `${one.model}: ${notice}` : notice)));
  $("notices").replaceChildren(...said.map((notice) => element("li", notice)));
  showWritten(all);
  $("results").hidden = false;
  board.show(documents, before, after, relevant);
  if ($("results").getBoundingClientRect().top > innerHeight * 0.6) $("results").scrollIntoView();
  return `${outcome}. ${said.join(" ")}`;
}

function columnOf({ model, results, rlpost }) {
  return {
    title: model,
    order: results.map((result) => result.index),
    kind: rlpost.score_kind,
    relevance: results.map((result) => result.relevance_score),
    raw: rlpost.rollout.scores,
  };
}

function factsOf(answer) {
  const { trace } = answer.rlpost;
  const tokens = (number) => (number ? count(number) : "not told");
  return [
    ["time", seconds(answer.seconds)],
    [trace.calls === 1 ? "model call" : "model calls", count(trace.calls)],
    ["tokens read", tokens(trace.prompt_tokens)],
    ["tokens written", count(trace.generated_tokens)],
  ];
}

function factList(facts) {
  const list = document.createElement("dl");
  for (const [name, value] of facts) {
    const group = document.createElement("div");
    group.append(element("dt", name), element("dd", value));
    list.append(group);
  }
  return list;
}

function showWritten(answers) {
  const parts = answers.flatMap(({ model, rlpost }) => {
    if (!rlpost.reasoning) return [];
    const texts = rlpost.reasoning.map((text, number) => {
      const details = document.createElement("details");
      details.open = rlpost.reasoning.length === 1;
      details.append(element("summary", `Call ${number + 1}`), element("pre", text));
      return details;
    });
    const none = element("p", "Nothing: this method reads scores off the model.");
    return [element("h3", `What ${model} wrote`), ...(texts.length ? texts : [none])];
  });
  $("written").replaceChildren(...parts);
}

function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}
