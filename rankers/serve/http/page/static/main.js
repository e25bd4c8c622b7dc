// The form: what is asked, of which model, and what becomes of the answer.

import { call, Failure } from "./api.js";
import { documentsOf, lines, showPreview } from "./documents.js";
import { showOutcome } from "./outcome.js";
import { plural, SCORES, seconds } from "./words.js";

const $ = (id) => document.getElementById(id);
const EXAMPLES = "page/examples/pydoc";

const state = {
  models: new Map(),
  file: [],
  examples: null, // a promise, once the collection has been asked for
  chosen: null, // { query, relevant, documents }
  loading: null, // a promise, while the models are being asked for
  running: null, // AbortController
};

const source = () => document.querySelector("[name=source]:checked").value;
const key = () => $("key").value.trim();

const DOCUMENTS = {
  pasted: () => lines($("pasted").value),
  file: () => state.file,
  collection: () => state.chosen?.documents ?? [],
};

// What the server offers.

// Enter in the key's field both changes it and submits: that is one loading.
function loadModels() {
  state.loading ??= fetchModels().finally(() => {
    state.loading = null;
  });
  return state.loading;
}

async function fetchModels() {
  $("model").replaceChildren(new Option("not loaded", ""));
  const { data } = await call("v1/models", { key: key() });
  if (!data.length) throw new Failure("The server is still loading its models. Try again in a moment.");
  state.models = new Map(data.map((model) => [model.id, model]));
  const options = () => data.map(({ id, method }) => new Option(`${id} (${method})`, id));
  $("model").replaceChildren(...options());
  $("compare").replaceChildren(new Option("the order of the documents", ""), ...options());
  $("compare-field").hidden = data.length < 2;
  describeModel();
}

function describeModel() {
  const model = state.models.get($("model").value);
  const version = model.version ? `, version ${model.version}` : "";
  $("about-model").textContent = `${model.root} on ${model.backend}${version}. ${SCORES[model.score_kind].means}.`;
}

async function loadExamples() {
  state.examples ??= call(EXAMPLES, { key: key() });
  let found;
  try {
    found = await state.examples;
  } catch (error) {
    state.examples = null;
    throw error;
  }
  if ($("example").options.length === 1) {
    $("example").append(...found.map((one, number) => new Option(one.query, number)));
  }
  return found;
}

async function chooseExample() {
  const number = $("example").value;
  state.chosen = null;
  showPreview(preview("collection"), []);
  if (number !== "") {
    const { query, relevant } = (await loadExamples())[number];
    const documents = await call(`${EXAMPLES}/${number}`, { key: key() });
    if ($("example").value !== number) return;
    state.chosen = { query, relevant, documents };
    $("query").value = query;
    showPreview(preview("collection"), documents);
  }
  tellCount();
}

const preview = (name) => document.querySelector(`[data-source=${name}] .preview`);

async function chooseFile() {
  const [file] = $("file").files;
  state.file = []; // a file that cannot be read leaves nothing of the one before
  try {
    if (file) state.file = await documentsOf(file);
  } finally {
    showPreview(preview("file"), state.file);
    tellCount();
  }
}

async function chooseSource() {
  for (const panel of document.querySelectorAll(".panel")) panel.hidden = panel.dataset.source !== source();
  tellCount();
  if (source() !== "collection" || $("example").options.length > 1) return;
  $("count").textContent = "Reading the collection; the first time that may take a minute.";
  try {
    await loadExamples();
  } finally {
    tellCount();
  }
}

function tellCount() {
  const number = DOCUMENTS[source()]().length;
  $("count").textContent = number ? plural(number, "document") : "";
}

// A ranking.

async function rerank() {
  if (state.running) return;
  const asked = { query: $("query").value.trim(), documents: DOCUMENTS[source()](), source: source() };
  // Which document answers is known of the collection's own queries alone.
  if (asked.source === "collection" && asked.query === state.chosen?.query) asked.relevant = state.chosen.relevant;
  if (!asked.query) throw new Failure("Write a query.", { field: "query" });
  if (!asked.documents.length) throw new Failure(NONE[asked.source], { field: "documents" });
  state.running = new AbortController();
  const started = performance.now();
  const tick = setInterval(() => {
    $("elapsed").textContent = seconds((performance.now() - started) / 1000);
  }, 100);
  busy(true);
  $("status").textContent = `Ranking ${plural(asked.documents.length, "document")}`;
  try {
    if (!state.models.size) await loadModels();
    const names = [$("model").value, $("compare").value].filter(Boolean);
    const answers = await Promise.all(names.map((name) => ask(asked, name, state.running.signal)));
    $("status").textContent = `Done: ${showOutcome(asked, ...answers)}`;
  } finally {
    clearInterval(tick);
    state.running.abort(); // the other of two requests, where one failed
    state.running = null;
    busy(false);
  }
}

const NONE = {
  pasted: "Paste some documents, one per line.",
  file: "Choose a file with documents.",
  collection: "Choose a query of the collection: its documents come with it.",
};

async function ask({ query, documents }, model, signal) {
  const started = performance.now();
  const answer = await call("v1/rerank", {
    key: key(),
    signal,
    body: { model, query, documents, return_documents: false, rlpost: { explain: $("explain").checked } },
  });
  return { ...answer, seconds: (performance.now() - started) / 1000 };
}

// How the page tells what is going on.

function busy(now) {
  $("ask").classList.toggle("running", now);
  $("results").setAttribute("aria-busy", now);
  if (document.activeElement === $("cancel")) $("submit").focus();
  $("elapsed").textContent = "";
}

function quiet() {
  $("error").hidden = true;
  for (const field of document.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
}

function tell(error) {
  $("status").textContent = "";
  if (error.name === "AbortError") {
    $("status").textContent = "Cancelled";
    return;
  }
  $("error").textContent = error.message;
  $("error").hidden = false;
  if (error.status === 401) $("key-field").hidden = false;
  const field = fieldOf(error);
  if (field) {
    field.setAttribute("aria-invalid", "true");
    field.focus();
  }
}

function fieldOf({ status, field = "" }) {
  if (status === 401) return $("key");
  if (status === 404 || field === "model") return $("model");
  if (field === "query") return $("query");
  if (!field.startsWith("documents")) return null;
  return { pasted: $("pasted"), file: $("file"), collection: $("example") }[source()];
}

const guarded = (work) => () => {
  quiet();
  return work().catch(tell);
};

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  guarded(rerank)();
});
$("ask").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    $("ask").requestSubmit();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") state.running?.abort();
});
$("cancel").addEventListener("click", () => state.running?.abort());
$("pasted").addEventListener("input", tellCount);
$("file").addEventListener("change", guarded(chooseFile));
$("example").addEventListener("change", guarded(chooseExample));
$("model").addEventListener("change", describeModel);
$("key").addEventListener("change", guarded(loadModels));
for (const radio of document.querySelectorAll("[name=source]")) radio.addEventListener("change", guarded(chooseSource));

tellCount();
guarded(loadModels)();
