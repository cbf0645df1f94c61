// The same request, to be copied: the key by its variable, the picture by its name.

const shell = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
const text = JSON.stringify;

export const SNIPPETS = {
  curl: ({ url, type, name }) => `curl -H "Authorization: Bearer $KEY" \\
  -H ${shell(`Content-Type: ${type}`)} \\
  --data-binary ${shell(`@${name}`)} \\
  ${shell(url)}`,

  python: ({ url, type, name }) => `import json, os, urllib.request

with open(${text(name)}, "rb") as picture:
    request = urllib.request.Request(${text(url)}, picture.read())
request.add_header("Authorization", "Bearer " + os.environ["KEY"])
request.add_header("Content-Type", ${text(type)})
with urllib.request.urlopen(request) as answer:
    print(json.load(answer))`,

  javascript: ({ url, type, name }) => `import { readFile } from "node:fs/promises";

const answer = await fetch(${text(url)}, {
  method: "POST",
  headers: { Authorization: \`Bearer \${process.env.KEY}\`, "Content-Type": ${text(type)} },
  body: await readFile(${text(name)}),
});
console.log(await answer.json());`,
};
