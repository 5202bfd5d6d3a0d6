// Filters the pairs of classes by name.
const form = document.querySelector("form");
if (form) {
  form.hidden = false;
  form.addEventListener("submit", event => event.preventDefault());
  form.addEventListener("input", () => {
    const text = form.querySelector("input").value.toLowerCase();
    for (const card of document.querySelectorAll("article")) card.hidden = !card.dataset.names.includes(text);
  });
}
