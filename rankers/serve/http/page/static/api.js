// Requests to the server this page came from, and their failures in words.

export class Failure extends Error {
  constructor(message, { status = 0, field = "" } = {}) {
    super(message);
    this.status = status;
    this.field = field;
  }
}

const GONE = "The server does not answer. It may have been stopped, or the network is down; try again.";

const WORDS = {
  404: (said) => `${said}.`,
  413: (said) => `That is too much for one request: ${said}.`,
  422: (said) => `${inWords(said)}.`,
  429: (_, wait) => `The server is busy. Try again in ${wait || "a few"} seconds.`,
  503: (said) => `The server cannot rank just now: ${said}. Try again in a moment.`,
  504: () => "It took longer than the server allows. Try fewer or shorter documents.",
};

export async function call(path, { key, body, signal } = {}) {
  const headers = {};
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method: body === undefined ? "GET" : "POST",
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      cache: "no-store",
    });
    if (response.ok) return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure(GONE);
  }
  if (response.status === 401) {
    const words = key ? "This API key is not accepted." : "This server asks for an API key.";
    throw new Failure(words, { status: 401 });
  }
  throw await failure(response);
}

async function failure(response) {
  let said = `the server answered with status ${response.status}`;
  let field = "";
  try {
    const { error } = await response.json();
    said = error.message;
    field = error.param ?? "";
  } catch {
    // A proxy's answer: its status is all there is to tell.
  }
  const words = WORDS[response.status];
  const message = words ? words(said, response.headers.get("Retry-After")) : `It failed: ${said}.`;
  return new Failure(message, { status: response.status, field });
}

// "documents.3: too long" is the fourth document to people.
function inWords(said) {
  const named = said.replace(/\bdocuments\.(\d+)/g, (_, index) => `document ${Number(index) + 1}`);
  return named.charAt(0).toUpperCase() + named.slice(1);
}
