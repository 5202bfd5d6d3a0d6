// Runs before the cards are loaded: with the class "js" the page has the layout that needs scripts.
document.documentElement.classList.add("js");
