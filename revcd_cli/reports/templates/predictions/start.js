// Runs before the cards arrive: with the class "js" the page has the layout that needs scripts.
document.documentElement.classList.add("js");
