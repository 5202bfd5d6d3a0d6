// Sorts tables by a click on a column heading, and filters their rows by a search field.
"use strict";
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => {
    if (!head.textContent) return;
    const button = document.createElement("button"), isNumber = "number" in head.dataset;
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    const number = row => { const read = parseFloat(value(row)); return Number.isNaN(read) ? -Infinity : read; };
    button.addEventListener("click", () => {
      const first = isNumber ? "descending" : "ascending";
      const order = head.ariaSort === first ? (isNumber ? "ascending" : "descending") : first;
      const sign = order === "ascending" ? 1 : -1;
      const compare = isNumber ? (a, b) => sign * (number(a) - number(b) || 0)
        : (a, b) => sign * value(a).localeCompare(value(b), undefined, {numeric: true});
      heads.forEach(each => each.removeAttribute("aria-sort"));
      head.ariaSort = order;
      body.append(...[...body.rows].sort(compare));
    });
  });
}
for (const field of document.querySelectorAll("input[data-filter]")) {
  const rows = [...document.getElementById(field.dataset.filter).tBodies[0].rows];
  field.parentElement.hidden = false;
  field.addEventListener("input", () => {
    const text = field.value.toLowerCase();
    for (const row of rows) row.hidden = !row.cells[0].textContent.toLowerCase().includes(text);
  });
}
