// Saves selected photos as a list of paths or as CSV, and marked ones as a list that `revcd data update --add` takes.
/* global make */
/* exported saveMarks, saveSelected */
const quoted = value => `"${String(value).replaceAll('"', '""')}"`; // a path may begin with # or hold commas
const csv = rows => rows.map(row => row.map(quoted).join(",") + "\n").join("");

function save(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], {type: `${type};charset=utf-8`}));
  make("a", {href: address, download: name}).click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

function saveSelected(chosen, form) {
  if (form === "paths") return save("selected.txt", "text/plain", chosen.map(item => `${item.path}\n`).join(""));
  const rows = chosen.map(({path, best, share, kind}) => [path, best, share < 0 ? "" : share, kind]);
  return save("selected.csv", "text/csv", csv([["path", "class", "probability", "kind"], ...rows]));
}

function saveMarks(marked) {
  const rows = marked.map(([item, name]) => [item.path, name, "trainval"]);
  save("corrections.csv", "text/csv", csv([["path", "class", "split"], ...rows]));
}
