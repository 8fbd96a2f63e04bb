"use strict";
// Shows /openapi.json: operations by tag, each with its parameters, body and answers.
function element(name, text, parent) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}
function resolve(schema, doc, depth) {
  if (Array.isArray(schema)) return schema.map((s) => resolve(s, doc, depth));
  if (!schema || typeof schema !== "object") return schema;
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return depth > 3 ? name : resolve(doc.components.schemas[name], doc, depth + 1);
  }
  return Object.fromEntries(Object.entries(schema).map(([k, v]) => [k, resolve(v, doc, depth)]));
}
function block(title, value, parent, doc) {
  element("h3", title, parent);
  const pre = element("pre", JSON.stringify(resolve(value, doc, 0), null, 2), parent);
  pre.tabIndex = 0;
}
fetch("/openapi.json").then((r) => r.json()).then((doc) => {
  const main = document.getElementById("operations");
  main.replaceChildren();
  const sections = {};
  for (const [path, methods] of Object.entries(doc.paths)) {
    for (const [method, op] of Object.entries(methods)) {
      const tag = op.tags[0];
      if (!sections[tag]) { sections[tag] = element("section", "", main); element("h2", tag, sections[tag]); }
      const details = element("details", "", sections[tag]);
      const summary = element("summary", "", details);
      element("b", method.toUpperCase(), summary);
      element("code", path, summary);
      element("span", op.summary, summary);
      details.addEventListener("toggle", () => {
        if (details.childElementCount > 1) return;
        const body = element("div", "", details);
        body.className = "body";
        if (op.parameters.length) block("Parameters", op.parameters, body, doc);
        if (op.requestBody) block("Body", op.requestBody.content["application/json"].schema, body, doc);
        for (const [status, answer] of Object.entries(op.responses)) {
          if (status < "300") block("Answer " + status, answer.content ? answer.content["application/json"].schema : "no body", body, doc);
        }
      });
    }
  }
});
