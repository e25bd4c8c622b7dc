// Where documents come from: pasted lines, a file, or the candidates of a collection.

export function lines(text) {
  return text.split(/\r?\n/).map((line) => line.trim()).filter(Boolean);
}

// Throws an Error in words, with the line, where the file cannot be read.
export async function documentsOf(file) {
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  } catch {
    throw new Error(`${file.name} is not a text file in UTF-8.`);
  }
  const found = /\.(jsonl|ndjson)$/i.test(file.name) ? jsonLines(text, file.name) : lines(text);
  if (!found.length) throw new Error(`${file.name} holds no document.`);
  return found;
}

function jsonLines(text, name) {
  const found = [];
  text.split(/\r?\n/).forEach((line, index) => {
    if (line.trim()) found.push(documentIn(line, `${name}, line ${index + 1}`));
  });
  return found;
}

function documentIn(line, where) {
  let row;
  try {
    row = JSON.parse(line);
  } catch {
    throw new Error(`${where} is not JSON.`);
  }
  if (typeof row === "string") return row;
  const text = row?.text ?? row?.contents;
  if (typeof text !== "string") throw new Error(`${where} has neither "text" nor "contents".`);
  return typeof row.title === "string" ? `${row.title} ${text}`.trim() : text;
}

export function showPreview(list, documents) {
  list.replaceChildren(
    ...documents.map((text) => {
      const item = document.createElement("li");
      item.textContent = text;
      return item;
    }),
  );
  list.scrollTop = 0;
}
